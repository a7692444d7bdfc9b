#include "daemon/grammar/code_points.hpp"

#include <algorithm>

namespace shoal::grammar {
namespace {

constexpr char32_t kFirstSurrogate = 0xD800, kLastSurrogate = 0xDFFF;

void add_range(CodePointRange range, std::vector<CodePointRange>& ranges) {
    if (range.first > range.last) return;
    if (!ranges.empty() && range.first <= ranges.back().last + 1) {
        ranges.back().last = std::max(ranges.back().last, range.last);
    } else {
        ranges.push_back(range);
    }
}

/// Splits a range, whose ends have `length` bytes each, where its bytes are no longer independent.
void add_sequences(char32_t first, char32_t last, std::size_t length,
                   std::vector<ByteSequence>& sequences) {
    for (std::size_t i = 1; i < length; ++i) {
        const char32_t mask = (char32_t{1} << (6 * i)) - 1;
        if ((first & ~mask) == (last & ~mask)) continue;
        if ((first & mask) != 0) {
            add_sequences(first, first | mask, length, sequences);
            add_sequences((first | mask) + 1, last, length, sequences);
            return;
        }
        if ((last & mask) != mask) {
            add_sequences(first, (last & ~mask) - 1, length, sequences);
            add_sequences(last & ~mask, last, length, sequences);
            return;
        }
    }
    std::string low, high;
    append_utf8(first, low);
    append_utf8(last, high);
    ByteSequence sequence{{}, length};
    for (std::size_t i = 0; i < length; ++i) {
        sequence.bytes[i] = {static_cast<std::uint8_t>(low[i]), static_cast<std::uint8_t>(high[i])};
    }
    sequences.push_back(sequence);
}

}  // namespace

CodePointSet::CodePointSet(std::vector<CodePointRange> ranges) {
    std::sort(ranges.begin(), ranges.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [first, last] : ranges) {
        add_range({first, std::min<char32_t>(last, kFirstSurrogate - 1)}, ranges_);
        add_range({std::max<char32_t>(first, kLastSurrogate + 1), std::min(last, kLastCodePoint)},
                  ranges_);
    }
    // A range around the surrogates was cut, and its second half may stand before its neighbour's.
    std::vector<CodePointRange> cut;
    cut.swap(ranges_);
    std::sort(cut.begin(), cut.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& range : cut) add_range(range, ranges_);
}

bool CodePointSet::contains(char32_t code_point) const noexcept {
    return std::any_of(ranges_.begin(), ranges_.end(), [&](const CodePointRange& range) {
        return range.first <= code_point && code_point <= range.last;
    });
}

CodePointSet CodePointSet::complement() const {
    std::vector<CodePointRange> others;
    char32_t next = 0;
    for (const auto& [first, last] : ranges_) {
        if (first > next) others.push_back({next, first - 1});
        next = last + 1;
    }
    if (next <= kLastCodePoint) others.push_back({next, kLastCodePoint});
    return CodePointSet(std::move(others));
}

CodePointSet CodePointSet::without(const CodePointSet& other) const {
    return complement().with(other).complement();
}

CodePointSet CodePointSet::with(const CodePointSet& other) const {
    std::vector<CodePointRange> both = ranges_;
    both.insert(both.end(), other.ranges_.begin(), other.ranges_.end());
    return CodePointSet(std::move(both));
}

std::vector<ByteSequence> utf8_sequences(const CodePointSet& set) {
    static constexpr char32_t kLastOfLength[] = {0x7F, 0x7FF, 0xFFFF, kLastCodePoint};
    std::vector<ByteSequence> sequences;
    for (const auto& [first, last] : set.ranges()) {
        char32_t from = first;
        for (std::size_t length = 1; length <= 4 && from <= last; ++length) {
            const char32_t to = std::min(last, kLastOfLength[length - 1]);
            if (from > to) continue;
            add_sequences(from, to, length, sequences);
            from = to + 1;
        }
    }
    return sequences;
}

void append_utf8(char32_t code_point, std::string& text) {
    const auto put = [&](char32_t byte) { text += static_cast<char>(byte); };
    if (code_point < 0x80) {
        put(code_point);
    } else if (code_point < 0x800) {
        put(0xC0 | code_point >> 6);
        put(0x80 | (code_point & 0x3F));
    } else if (code_point < 0x10000) {
        put(0xE0 | code_point >> 12);
        put(0x80 | (code_point >> 6 & 0x3F));
        put(0x80 | (code_point & 0x3F));
    } else {
        put(0xF0 | code_point >> 18);
        put(0x80 | (code_point >> 12 & 0x3F));
        put(0x80 | (code_point >> 6 & 0x3F));
        put(0x80 | (code_point & 0x3F));
    }
}

char32_t next_code_point(std::string_view text, std::size_t& at) noexcept {
    const auto byte = [&](std::size_t i) -> char32_t {
        return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
    };
    const char32_t lead = byte(at);
    const std::size_t start = at++;
    if (lead < 0x80) return lead;
    const std::size_t more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (lead < 0xC2 || lead > 0xF4) return kNotUtf8;
    char32_t code_point = lead & (0x3FU >> more);
    for (std::size_t i = 1; i <= more; ++i) {
        if ((byte(start + i) & 0xC0) != 0x80) return kNotUtf8;
        code_point = code_point << 6 | (byte(start + i) & 0x3F);
    }
    static constexpr char32_t kFirstOfLength[] = {0x80, 0x800, 0x10000};
    const bool surrogate = code_point >= kFirstSurrogate && code_point <= kLastSurrogate;
    if (code_point < kFirstOfLength[more - 1] || code_point > kLastCodePoint || surrogate) {
        return kNotUtf8;
    }
    at = start + more + 1;
    return code_point;
}

}  // namespace shoal::grammar
