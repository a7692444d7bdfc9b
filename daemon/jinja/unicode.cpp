#include "daemon/jinja/unicode.hpp"

#include <algorithm>

#include "daemon/jinja/unicode_tables.hpp"

namespace shoal::jinja::unicode {
namespace {

template <class R>
const R* find(std::span<const R> ranges, char32_t c) noexcept {
    const auto at = static_cast<std::int32_t>(c);
    const auto next = std::partition_point(ranges.begin(), ranges.end(),
                                           [at](const R& range) { return range.last < at; });
    return next != ranges.end() && next->first <= at ? &*next : nullptr;
}

char32_t mapped(std::span<const CaseRange> ranges, char32_t c) noexcept {
    const CaseRange* range = find(ranges, c);
    if (range == nullptr) return c;
    const auto at = static_cast<std::int32_t>(c);
    if ((at - range->first) % range->step != 0) return c;
    return static_cast<char32_t>(at + range->delta);
}

}  // namespace

char32_t lower(char32_t c) noexcept {
    if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
    return mapped(lower_ranges(), c);
}

char32_t upper(char32_t c) noexcept {
    if (c < 0x80) return c >= 'a' && c <= 'z' ? c - 32 : c;
    return mapped(upper_ranges(), c);
}

bool is_lower(char32_t c) noexcept {
    return upper(c) != c || c == 0xDF;
}
bool is_upper(char32_t c) noexcept {
    return lower(c) != c;
}
bool is_cased(char32_t c) noexcept {
    return is_lower(c) || is_upper(c);
}

bool is_alphabetic(char32_t c) noexcept {
    if (c < 0x80) return is_cased(c);
    return find(alphabetic_ranges(), c) != nullptr;
}

bool is_digit(char32_t c) noexcept {
    return c >= '0' && c <= '9';
}

bool is_space(char32_t c) noexcept {
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_printable(char32_t c) noexcept {
    if (c < 0x80) return c >= 0x20 && c != 0x7F;
    return find(unprintable_ranges(), c) == nullptr;
}

bool is_line_end(char32_t c) noexcept {
    return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
           c == 0x2029;
}

}  // namespace shoal::jinja::unicode
