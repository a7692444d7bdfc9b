#include "daemon/jinja/format_spec.hpp"

#include <charconv>
#include <cmath>

#include "daemon/jinja/error.hpp"
#include "daemon/jinja/format.hpp"
#include "daemon/jinja/names.hpp"
#include "daemon/jinja/numbers.hpp"
#include "daemon/jinja/print.hpp"
#include "daemon/jinja/utf8.hpp"

namespace shoal::jinja {
namespace {

constexpr int kMaxPrecision = 1000;

bool is_align(char c) noexcept {
    return one_of(c, "<>^=");
}

/// Digits of a magnitude, with "," or "_" between groups of three or four.
std::string grouped(const std::string& digits, char group, std::size_t each) {
    if (group == '\0') return digits;
    std::string out;
    for (std::size_t i = 0; i < digits.size(); ++i) {
        if (i > 0 && (digits.size() - i) % each == 0) out.push_back(group);
        out.push_back(digits[i]);
    }
    return out;
}

struct Number {
    bool negative = false;
    std::string prefix;  ///< 0x and so on
    std::string digits;
};

Number integer_digits(std::int64_t value, const FormatSpec& spec) {
    Number out;
    out.negative = value < 0;
    const std::uint64_t magnitude =
        out.negative ? ~static_cast<std::uint64_t>(value) + 1 : static_cast<std::uint64_t>(value);
    const int base = spec.type == 'b'            ? 2
                     : spec.type == 'o'          ? 8
                     : (spec.type | 0x20) == 'x' ? 16
                                                 : 10;
    char buffer[72];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, magnitude, base);
    std::string digits(buffer, end.ptr);
    if (spec.type == 'X') {
        for (char& c : digits) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    if (spec.alternate && base != 10) out.prefix = std::string("0") + spec.type;
    out.digits = grouped(digits, spec.group, base == 10 ? 3 : 4);
    return out;
}

/// With so many significant digits, as C's %g.
std::string general_text(double value, int precision, bool alternate) {
    char buffer[1100];
    const char* form = alternate ? "%#.*g" : "%.*g";
    std::snprintf(buffer, sizeof buffer, form, precision, value);
    return buffer;
}

Number real_digits(double value, const FormatSpec& spec) {
    Number out;
    out.negative = std::signbit(value) && !std::isnan(value);
    const double magnitude = std::fabs(value);
    const int precision = spec.precision.value_or(6);
    char buffer[1100];
    switch (spec.type) {
        case '\0':
            out.digits = spec.precision ? general_text(magnitude, std::max(precision, 1), false)
                                        : real_text(magnitude);
            // Unlike "g" it always shows that it is no integer.
            if (out.digits.find_first_of(".en") == std::string::npos) out.digits += ".0";
            break;
        case 'e':
        case 'E':
            std::snprintf(buffer, sizeof buffer, "%.*e", precision, magnitude);
            out.digits = buffer;
            break;
        case 'g':
        case 'G':
        case 'n':
            out.digits = general_text(magnitude, std::max(precision, 1), spec.alternate);
            break;
        case '%':
            out.digits = fixed_text(magnitude * 100, precision) + "%";
            break;
        default:
            out.digits = fixed_text(magnitude, precision);
            break;
    }
    if (spec.type == 'E' || spec.type == 'G' || spec.type == 'F') {
        for (char& c : out.digits)
            c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    if (spec.group != '\0') {
        const std::size_t whole = out.digits.find_first_not_of("0123456789");
        out.digits = grouped(out.digits.substr(0, whole), spec.group, 3) +
                     (whole == std::string::npos ? "" : out.digits.substr(whole));
    }
    return out;
}

void append_number(Builder& out, Number number, const FormatSpec& spec) {
    std::string sign = number.negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
    sign += number.prefix;
    const std::size_t size = sign.size() + number.digits.size();
    const std::size_t padding = spec.width > size ? spec.width - size : 0;
    const char align = spec.align == '\0' ? '>' : spec.align;
    if (align == '=') {
        out.append(sign);
        if (spec.group != '\0' && spec.fill == "0") {
            // Zeros are grouped as digits are; the width is reached, or passed by one.
            std::string plain;
            for (const char c : number.digits) {
                if (c != spec.group) plain.push_back(c);
            }
            const std::size_t whole = std::min(plain.find_first_not_of("0123456789"), plain.size());
            std::string digits = plain.substr(0, whole);
            const std::string rest = plain.substr(whole);
            const std::size_t wanted =
                spec.width > sign.size() + rest.size() ? spec.width - sign.size() - rest.size() : 0;
            while (grouped(digits, spec.group, 3).size() < wanted) digits.insert(0, "0");
            return out.append(grouped(digits, spec.group, 3) + rest);
        }
        out.fill(padding, spec.fill);
        return out.append(number.digits);
    }
    const std::size_t before = align == '<' ? 0 : align == '^' ? padding / 2 : padding;
    out.fill(before, spec.fill);
    out.append(sign + number.digits);
    out.fill(padding - before, spec.fill);
}

void append_text(Run& run, Builder& out, const Value& value, const FormatSpec& spec) {
    if (spec.type != '\0' && spec.type != 's') {
        fail(std::string("Unknown format code '") + spec.type + "' for object of type '" +
             type_name(value) + "'");
    }
    const Value text = printed(run, value);
    const Text& bytes = text.text();
    std::size_t end = bytes.size(), size = text.string_cell().code_points;
    if (spec.precision && static_cast<std::size_t>(*spec.precision) < size) {
        size = static_cast<std::size_t>(*spec.precision);
        end = utf8::offset_of(bytes.bytes(), size);
    }
    const std::size_t padding = spec.width > size ? spec.width - size : 0;
    const std::size_t before = spec.align == '>' ? padding : spec.align == '^' ? padding / 2 : 0;
    out.fill(before, spec.fill);
    out.append(bytes, 0, end);
    out.fill(padding - before, spec.fill);
}

}  // namespace

std::optional<std::size_t> read_width(std::string_view text, std::size_t& at) {
    std::size_t value = 0;
    const std::size_t begin = at;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
        value = value * 10 + static_cast<std::size_t>(text[at] - '0');
        if (value > static_cast<std::size_t>(kMaxFormatWidth)) {
            fail_limit("a width in a format is larger than " + std::to_string(kMaxFormatWidth));
        }
    }
    if (at == begin) return std::nullopt;
    return value;
}

FormatSpec parse_format_spec(std::string_view spec) {
    FormatSpec out;
    std::size_t at = 0;
    const auto next = [&] { return at < spec.size() ? spec[at] : '\0'; };
    const auto skip = [&](char c) { return next() == c ? (++at, true) : false; };
    if (!spec.empty()) {
        const std::size_t first = utf8::length_at(spec, 0);
        if (first < spec.size() && is_align(spec[first])) {
            out.fill = spec.substr(0, first);
            out.align = spec[first];
            at = first + 1;
        } else if (is_align(spec[0])) {
            out.align = spec[0];
            at = 1;
        }
    }
    if (next() == '+' || next() == '-' || next() == ' ') out.sign = spec[at++];
    out.alternate = skip('#');
    if (next() == '0' && out.align == '\0') {
        ++at;
        out.fill = "0";
        out.align = '=';
    }
    out.width = read_width(spec, at).value_or(0);
    if (next() == ',' || next() == '_') out.group = spec[at++];
    if (skip('.')) {
        const auto precision = read_width(spec, at);
        if (!precision) fail("Format specifier missing precision");
        out.precision = static_cast<int>(*precision);
    }
    if (at < spec.size()) out.type = spec[at++];
    if (at < spec.size())
        fail("Invalid format specifier '" + std::string(spec.substr(0, 40)) + "'");
    return out;
}

void append_formatted(Run& run, Builder& out, const Value& value, const FormatSpec& spec) {
    const bool wants_real = one_of(spec.type, "eEfFgG%");
    const bool plain_boolean = value.is(Value::Kind::boolean) && spec.type == '\0';
    const bool number = value.is_number() && spec.type != 's' && !plain_boolean;
    if ((wants_real && value.is_number()) || (number && value.is(Value::Kind::real))) {
        if (spec.precision.value_or(0) > kMaxPrecision) {
            fail_limit("a number is formatted with more than " + std::to_string(kMaxPrecision) +
                       " digits");
        }
        if (!wants_real && spec.type != '\0' && spec.type != 'n') {
            fail(std::string("Unknown format code '") + spec.type + "' for object of type 'float'");
        }
        return append_number(out, real_digits(value.as_number(), spec), spec);
    }
    if (!number) {
        FormatSpec text = spec;
        if (text.align == '=') {
            // Zeros before the width of a text are behind it.
            text.align = '<';
        }
        return append_text(run, out, value, text);
    }
    if (spec.type == 'c') {
        if (value.as_integer() < 0 || value.as_integer() > 0x10FFFF ||
            (value.as_integer() >= 0xD800 && value.as_integer() < 0xE000)) {
            fail("%c arg not in range(0x110000)");
        }
        Number character;
        utf8::append(character.digits, static_cast<char32_t>(value.as_integer()));
        return append_number(out, std::move(character), spec);
    }
    if (spec.type != '\0' && !one_of(spec.type, "bdoxXn")) {
        fail(std::string("Unknown format code '") + spec.type + "' for object of type 'int'");
    }
    append_number(out, integer_digits(value.as_integer(), spec), spec);
}

}  // namespace shoal::jinja
