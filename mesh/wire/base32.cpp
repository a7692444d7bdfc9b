#include "mesh/wire/base32.hpp"

namespace shoal::mesh::wire {

namespace {

constexpr std::string_view kAlphabet = "0123456789abcdefghjkmnpqrstvwxyz";
static_assert(kAlphabet.size() == 32);

int base32_value(char c) noexcept {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (lower == 'o') return 0;
    if (lower == 'i' || lower == 'l') return 1;
    const auto at = kAlphabet.find(lower);
    return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

}  // namespace

std::string to_base32(std::span<const std::uint8_t> bytes) {
    std::string text;
    std::uint32_t bits = 0;
    int held = 0;
    for (const std::uint8_t byte : bytes) {
        bits = bits << 8 | byte;
        held += 8;
        while (held >= 5) {
            held -= 5;
            text.push_back(kAlphabet[bits >> held & 31]);
        }
        bits &= 31;
    }
    if (held > 0) text.push_back(kAlphabet[bits << (5 - held) & 31]);
    return text;
}

Base32 from_base32(std::string_view text, std::size_t max_digits) {
    Base32 read;
    std::uint32_t bits = 0;
    int held = 0;
    for (const char c : text) {
        if (c == '-' || c == ' ' || c == '\t' || c == '\r' || c == '\n') continue;
        const int value = base32_value(c);
        if (value < 0) {
            read.strange = true;
            return read;
        }
        if (++read.digits > max_digits) return read;
        bits = (bits << 5 | static_cast<std::uint32_t>(value)) & 0xfff;
        held += 5;
        if (held >= 8) {
            held -= 8;
            read.bytes.push_back(static_cast<std::uint8_t>(bits >> held));
        }
    }
    read.padded = held < 5 && (bits & ((1u << held) - 1)) == 0;
    return read;
}

}  // namespace shoal::mesh::wire
