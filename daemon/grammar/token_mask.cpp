#include "daemon/grammar/token_mask.hpp"

#include <algorithm>
#include <bit>
#include <cassert>

namespace shoal::grammar {
namespace {

/// The first byte of the wire form.
enum class Form : unsigned char {
    bits = 0,  ///< one bit a token, the first in the lowest bit of the first byte
    runs = 1,  ///< lengths of runs, refused and allowed in turn
};

void put_length(std::size_t length, std::string& bytes) {
    for (; length >= 0x80; length >>= 7) bytes += static_cast<char>(0x80 | (length & 0x7F));
    bytes += static_cast<char>(length);
}

/// Nothing when it is not there whole, is larger than 28 bits or written longer than it has to be.
std::optional<std::size_t> take_length(std::string_view& bytes) {
    std::size_t length = 0;
    for (unsigned shift = 0; shift < 28 && !bytes.empty(); shift += 7) {
        const auto byte = static_cast<unsigned char>(bytes.front());
        bytes.remove_prefix(1);
        length |= std::size_t{byte & 0x7FU} << shift;
        if (byte >= 0x80) continue;
        if (byte == 0 && shift > 0) return std::nullopt;
        return length;
    }
    return std::nullopt;
}

/// The first token at or behind `from` whose bit is `allowed`, or the mask's size.
std::size_t find(const TokenMask& mask, std::size_t from, bool allowed) noexcept {
    const auto words = mask.words();
    for (std::size_t i = from / 64; i < words.size(); ++i) {
        std::uint64_t word = allowed ? words[i] : ~words[i];
        if (i == from / 64) word &= ~std::uint64_t{0} << from % 64;
        if (word != 0) return std::min(mask.size(), i * 64 + std::countr_zero(word));
    }
    return mask.size();
}

void allow_run(TokenMask& mask, std::size_t begin, std::size_t end) noexcept {
    const auto words = mask.words();
    for (std::size_t i = begin / 64; i * 64 < end; ++i) {
        std::uint64_t word = ~std::uint64_t{0};
        if (i == begin / 64) word &= ~std::uint64_t{0} << begin % 64;
        if (end - i * 64 < 64) word &= (std::uint64_t{1} << (end - i * 64)) - 1;
        words[i] |= word;
    }
}

/// False when it becomes longer than `limit`.
bool encode_runs(const TokenMask& mask, std::size_t limit, std::string& bytes) {
    bool allowed = false;
    for (std::size_t at = 0; at < mask.size(); allowed = !allowed) {
        const std::size_t end = find(mask, at, !allowed);
        put_length(end - at, bytes);
        at = end;
        if (bytes.size() > limit) return false;
    }
    return true;
}

std::optional<TokenMask> decode_runs(std::string_view bytes, std::size_t tokens) {
    TokenMask mask(tokens);
    bool allowed = false;
    for (std::size_t at = 0; at < tokens; allowed = !allowed) {
        const auto length = take_length(bytes);
        // Only the first run may be empty: each mask has one form of each kind.
        if (!length || *length > tokens - at || (*length == 0 && at + allowed > 0)) {
            return std::nullopt;
        }
        if (allowed) allow_run(mask, at, at + *length);
        at += *length;
    }
    if (!bytes.empty()) return std::nullopt;
    return mask;
}

std::optional<TokenMask> decode_bits(std::string_view bytes, std::size_t tokens) {
    if (bytes.size() != (tokens + 7) / 8) return std::nullopt;
    TokenMask mask(tokens);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        mask.words()[i / 8] |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << i % 8 * 8;
    }
    if (tokens % 64 != 0 && mask.words().back() >> tokens % 64 != 0) return std::nullopt;
    return mask;
}

}  // namespace

std::size_t TokenMask::count() const noexcept {
    std::size_t count = 0;
    for (const std::uint64_t word : words_) count += std::popcount(word);
    return count;
}

TokenMask TokenMask::slice(std::size_t begin, std::size_t end) const {
    assert(begin <= end && end <= tokens_);
    TokenMask part(end - begin);
    const std::size_t shift = begin % 64;
    for (std::size_t i = 0; i < part.words_.size(); ++i) {
        const std::size_t from = begin / 64 + i;
        part.words_[i] = words_[from] >> shift;
        if (shift != 0 && from + 1 < words_.size())
            part.words_[i] |= words_[from + 1] << (64 - shift);
    }
    if (part.tokens_ % 64 != 0) part.words_.back() &= (std::uint64_t{1} << part.tokens_ % 64) - 1;
    return part;
}

std::string TokenMask::encode() const {
    const std::size_t bit_bytes = (tokens_ + 7) / 8;
    std::string runs(1, static_cast<char>(Form::runs));
    if (encode_runs(*this, bit_bytes, runs)) return runs;
    std::string bits(1, static_cast<char>(Form::bits));
    for (std::size_t i = 0; i < bit_bytes; ++i) {
        bits += static_cast<char>(words_[i / 8] >> i % 8 * 8 & 0xFF);
    }
    return bits;
}

std::optional<TokenMask> TokenMask::decode(std::string_view bytes, std::size_t tokens) {
    if (bytes.empty()) return std::nullopt;
    const auto form = static_cast<Form>(bytes.front());
    bytes.remove_prefix(1);
    switch (form) {
        case Form::bits:
            return decode_bits(bytes, tokens);
        case Form::runs:
            return decode_runs(bytes, tokens);
    }
    return std::nullopt;
}

}  // namespace shoal::grammar
