#include "daemon/jinja/utf8.hpp"

#include <algorithm>

namespace shoal::jinja::utf8 {
namespace {

unsigned char byte_at(std::string_view text, std::size_t position) noexcept {
    return static_cast<unsigned char>(text[position]);
}

bool continues(std::string_view text, std::size_t position) noexcept {
    return position < text.size() && (byte_at(text, position) & 0xC0U) == 0x80U;
}

/// The length of the valid code point at `position`, or 0.
std::size_t valid_length(std::string_view text, std::size_t position) noexcept {
    const unsigned first = byte_at(text, position);
    if (first < 0x80) return 1;
    const std::size_t length = first < 0xC2   ? 0
                               : first < 0xE0 ? 2
                               : first < 0xF0 ? 3
                               : first < 0xF5 ? 4
                                              : 0;
    for (std::size_t i = 1; i < length; ++i) {
        if (!continues(text, position + i)) return 0;
    }
    if (length < 3) return length;
    const unsigned second = byte_at(text, position + 1);
    const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
    const bool surrogate = first == 0xED && second >= 0xA0;
    const bool too_large = first == 0xF4 && second >= 0x90;
    return overlong || surrogate || too_large ? 0 : length;
}

}  // namespace

bool valid(std::string_view bytes) noexcept {
    for (std::size_t i = 0; i < bytes.size();) {
        const std::size_t length = valid_length(bytes, i);
        if (length == 0) return false;
        i += length;
    }
    return true;
}

std::string repaired(std::string bytes) {
    if (valid(bytes)) return bytes;
    std::string out;
    for (std::size_t i = 0; i < bytes.size();) {
        const std::size_t length = valid_length(bytes, i);
        if (length == 0) {
            append(out, 0xFFFD);
        } else {
            out.append(bytes, i, length);
        }
        i += std::max<std::size_t>(length, 1);
    }
    return out;
}

std::size_t count(std::string_view text) noexcept {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
    }));
}

std::size_t length_at(std::string_view text, std::size_t position) noexcept {
    const unsigned first = byte_at(text, position);
    return first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

char32_t at(std::string_view text, std::size_t position) noexcept {
    const std::size_t length = length_at(text, position);
    const unsigned first = byte_at(text, position);
    if (length == 1) return first;
    char32_t code_point = first & (0xFFU >> (length + 1));
    for (std::size_t i = 1; i < length && position + i < text.size(); ++i) {
        code_point = code_point << 6U | (byte_at(text, position + i) & 0x3FU);
    }
    return code_point;
}

std::size_t before(std::string_view text, std::size_t position) noexcept {
    do {
        --position;
    } while (position > 0 && continues(text, position));
    return position;
}

std::size_t offset_of(std::string_view text, std::size_t index, std::size_t from) noexcept {
    while (index > 0 && from < text.size()) {
        from += length_at(text, from);
        --index;
    }
    return std::min(from, text.size());
}

void append(std::string& out, char32_t code_point) {
    const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
    if (code_point < 0x80) return put(code_point);
    if (code_point < 0x800) {
        put(0xC0U | code_point >> 6U);
    } else if (code_point < 0x10000) {
        put(0xE0U | code_point >> 12U);
        put(0x80U | (code_point >> 6U & 0x3FU));
    } else {
        put(0xF0U | code_point >> 18U);
        put(0x80U | (code_point >> 12U & 0x3FU));
        put(0x80U | (code_point >> 6U & 0x3FU));
    }
    put(0x80U | (code_point & 0x3FU));
}

}  // namespace shoal::jinja::utf8
