#include "daemon/jinja/literals.hpp"

#include "daemon/jinja/error.hpp"
#include "daemon/jinja/unicode.hpp"
#include "daemon/jinja/utf8.hpp"

namespace shoal::jinja {
namespace {

bool is_digit_of(char c, unsigned base) noexcept {
    if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0') < base;
    const char lower = static_cast<char>(c | 0x20);
    return base == 16 && lower >= 'a' && lower <= 'f';
}

/// The length of digits with single underscores between them.
std::size_t digits_length(std::string_view text, unsigned base, std::size_t from = 0) noexcept {
    std::size_t at = from;
    while (at < text.size()) {
        const bool underscore = text[at] == '_' && at > from && at + 1 < text.size();
        if (is_digit_of(text[underscore ? at + 1 : at], base)) {
            at += underscore ? 2 : 1;
        } else {
            break;
        }
    }
    return at - from;
}

std::string without_underscores(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c != '_') out.push_back(c);
    }
    return out;
}

/// The length of "e-5" at `at`, or 0.
std::size_t exponent_length(std::string_view text, std::size_t at) noexcept {
    if (at >= text.size() || (text[at] | 0x20) != 'e') return 0;
    std::size_t digits = at + 1;
    if (digits < text.size() && (text[digits] == '+' || text[digits] == '-')) ++digits;
    const std::size_t length = digits_length(text, 10, digits);
    return length == 0 ? 0 : digits + length - at;
}

unsigned base_of(std::string_view text) noexcept {
    if (text.size() < 3 || text[0] != '0') return 10;
    switch (text[1] | 0x20) {
        case 'x':
            return 16;
        case 'o':
            return 8;
        case 'b':
            return 2;
        default:
            return 10;
    }
}

/// Up to `most` digits at `at`, which is moved behind them.
char32_t read_code(std::string_view text, std::size_t& at, unsigned base, std::size_t least,
                   std::size_t most) {
    char32_t code = 0;
    std::size_t count = 0;
    for (; count < most && at < text.size() && is_digit_of(text[at], base); ++count, ++at) {
        const char c = text[at];
        code = code * base + static_cast<char32_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    if (count < least) fail("a string has an escape sequence that is cut short");
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
        fail("a string has an escape sequence for what is no code point");
    }
    return code;
}

/// The one character that a letter behind a backslash stands for, or 0.
char simple_escape(char c) noexcept {
    switch (c) {
        case 'a':
            return '\a';
        case 'b':
            return '\b';
        case 'f':
            return '\f';
        case 'n':
            return '\n';
        case 'r':
            return '\r';
        case 't':
            return '\t';
        case 'v':
            return '\v';
        case '\\':
        case '\'':
        case '"':
            return c;
        default:
            return '\0';
    }
}

}  // namespace

Literal number_at(std::string_view text) {
    Literal out;
    const std::size_t whole = digits_length(text, 10);
    if (whole == 0) return out;
    std::size_t end = whole;
    if (end < text.size() && text[end] == '.') {
        const std::size_t fraction = digits_length(text, 10, end + 1);
        if (fraction > 0) end += 1 + fraction;
    }
    end += exponent_length(text, end);
    out.real = end > whole;
    if (!out.real) {
        const unsigned base = base_of(text);
        if (base != 10) {
            const std::size_t digits = digits_length(text, base, 2);
            if (digits > 0) end = 2 + digits;
        } else if (text[0] == '0') {
            // Zeros are an integer, 012 is two.
            for (end = 1; end < text.size() && text[end] == '0'; ++end) continue;
        }
    }
    out.length = end;
    out.text = without_underscores(text.substr(0, end));
    return out;
}

std::size_t name_length(std::string_view text) noexcept {
    std::size_t at = 0;
    while (at < text.size()) {
        const char32_t c = utf8::at(text, at);
        const bool first = c == '_' || unicode::is_alphabetic(c);
        if (!first && (at == 0 || !unicode::is_digit(c))) break;
        at += utf8::length_at(text, at);
    }
    return at;
}

std::size_t quoted_length(std::string_view text) noexcept {
    for (std::size_t i = 1; i < text.size(); ++i) {
        if (text[i] == '\\') {
            ++i;
        } else if (text[i] == text[0]) {
            return i + 1;
        }
    }
    return 0;
}

std::string unescaped(std::string_view inside) {
    std::string out;
    for (std::size_t i = 0; i < inside.size();) {
        if (inside[i] != '\\' || i + 1 == inside.size()) {
            out.push_back(inside[i++]);
            continue;
        }
        const char c = inside[i + 1];
        i += 2;
        if (const char simple = simple_escape(c); simple != '\0') {
            out.push_back(simple);
        } else if (c == '\n') {
            // A line goes on in the next one.
        } else if (c == 'x') {
            utf8::append(out, read_code(inside, i, 16, 2, 2));
        } else if (c == 'u') {
            utf8::append(out, read_code(inside, i, 16, 4, 4));
        } else if (c == 'U') {
            utf8::append(out, read_code(inside, i, 16, 8, 8));
        } else if (is_digit_of(c, 8)) {
            utf8::append(out, read_code(inside, --i, 8, 1, 3));
        } else {
            out.push_back('\\');
            out.push_back(c);
        }
    }
    return out;
}

}  // namespace shoal::jinja
