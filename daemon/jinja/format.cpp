#include "daemon/jinja/format.hpp"

#include "daemon/jinja/attributes.hpp"
#include "daemon/jinja/error.hpp"
#include "daemon/jinja/format_spec.hpp"
#include "daemon/jinja/names.hpp"
#include "daemon/jinja/numbers.hpp"
#include "daemon/jinja/operators.hpp"
#include "daemon/jinja/print.hpp"
#include "daemon/jinja/utf8.hpp"

namespace shoal::jinja {
namespace {

/// What is put into a markup is escaped.
Value inserted(Run& run, const Value& value, bool markup) {
    if (!markup || value.is_number()) return value;
    return html_escaped(run, value);
}

Value repr_value(Run& run, const Value& value) {
    Builder out(run);
    print_repr(run, out, value);
    return out.finish();
}

/// Takes the values of "format % values" one by one, or by name.
class PercentFormatter {
  public:
    PercentFormatter(Run& run, const Value& format, const Value& values)
        : run_(run), format_(format), values_(values), text_(format.bytes()) {
        tuple_ = values.is(Value::Kind::list) && values.list_cell().flavour == Flavour::tuple;
    }

    Value format();

  private:
    void field();
    Value next_value();
    Value named_value();
    std::size_t width();
    void convert(char conversion, FormatSpec spec, const Value& value);
    char here() const {
        if (at_ >= text_.size()) fail("incomplete format");
        return text_[at_];
    }

    Run& run_;
    const Value& format_;
    const Value& values_;
    const std::string& text_;
    bool tuple_ = false;
    bool by_name_ = false;
    std::size_t at_ = 0;
    std::size_t taken_ = 0;
    Builder out_{run_};
};

Value PercentFormatter::next_value() {
    const std::size_t count = tuple_ ? values_.list_cell().items.size() : 1;
    if (taken_ >= count) fail("not enough arguments for format string");
    return tuple_ ? values_.list_cell().items[taken_++] : (++taken_, values_);
}

Value PercentFormatter::named_value() {
    const std::size_t end = text_.find(')', at_);
    if (end == text_.npos) fail("incomplete format key");
    if (!values_.is(Value::Kind::dict)) fail("format requires a mapping");
    const std::string name = text_.substr(at_ + 1, end - at_ - 1);
    const DictCell::Entry* entry = values_.dict_cell().find(name);
    if (entry == nullptr) fail("the format names '" + name + "', which the dict does not have");
    at_ = end + 1;
    by_name_ = true;
    return entry->value;
}

std::size_t PercentFormatter::width() {
    if (here() != '*') return read_width(text_, at_).value_or(0);
    ++at_;
    const Value value = next_value();
    if (!value.is_integral() || value.as_integer() < 0 || value.as_integer() > kMaxFormatWidth) {
        fail("a width that '*' takes is no number from 0 to " + std::to_string(kMaxFormatWidth));
    }
    return static_cast<std::size_t>(value.as_integer());
}

void PercentFormatter::convert(char conversion, FormatSpec spec, const Value& value) {
    switch (conversion) {
        case 's':
            return append_formatted(
                run_, out_, inserted(run_, printed(run_, value), format_.is_markup()), spec);
        case 'r':
        case 'a':
            return append_formatted(
                run_, out_, inserted(run_, repr_value(run_, value), format_.is_markup()), spec);
        case 'c':
            if (value.is_string()) return append_formatted(run_, out_, value, spec);
            break;
        default:
            break;
    }
    require_defined(value);
    if (!value.is_number()) {
        fail(std::string("%") + conversion + " format: a real number is required, not " +
             type_name(value));
    }
    const bool whole = one_of(conversion, "diuoxXc");
    spec.type = one_of(conversion, "diu") ? 'd' : conversion;
    const Value number =
        whole ? Value::integer(value.is(Value::Kind::real) ? truncated(value.as_real())
                                                           : value.as_integer())
              : value;
    if (whole) spec.precision.reset();
    append_formatted(run_, out_, number, spec);
}

void PercentFormatter::field() {
    Value value;
    const bool named = here() == '(';
    if (named) value = named_value();
    FormatSpec spec;
    spec.align = '>';
    bool zeros = false;
    for (; one_of(here(), "-+ #0"); ++at_) {
        switch (here()) {
            case '-':
                spec.align = '<';
                break;
            case '+':
                spec.sign = '+';
                break;
            case ' ':
                spec.sign = spec.sign == '+' ? '+' : ' ';
                break;
            case '#':
                spec.alternate = true;
                break;
            default:
                zeros = true;
        }
    }
    spec.width = width();
    if (here() == '.') {
        ++at_;
        spec.precision = static_cast<int>(width());
    }
    while (one_of(here(), "hlL")) ++at_;
    const char conversion = here();
    ++at_;
    if (conversion == '%') return out_.append("%");
    if (!one_of(conversion, "srcadiuoxXeEfFgG")) {
        fail(std::string("unsupported format character '") + conversion + "'");
    }
    if (zeros && spec.align == '>' && !one_of(conversion, "sra")) {
        spec.fill.assign(1, '0');
        spec.align = '=';
    }
    if (!named) value = next_value();
    convert(conversion, std::move(spec), value);
}

Value PercentFormatter::format() {
    while (at_ < text_.size()) {
        run_.step();
        const std::size_t percent = std::min(text_.find('%', at_), text_.size());
        out_.append(format_.text(), at_, percent);
        at_ = percent + 1;
        if (percent < text_.size()) field();
    }
    const bool takes_all =
        values_.is(Value::Kind::dict) || values_.is(Value::Kind::list) || by_name_;
    const std::size_t count = tuple_ ? values_.list_cell().items.size() : 1;
    if (taken_ < count && (tuple_ || !takes_all)) {
        fail("not all arguments converted during string formatting");
    }
    return out_.finish(format_.is_markup());
}

/// The fields of "{...}".format().
class BraceFormatter {
  public:
    BraceFormatter(Run& run, const Value& format, const Arguments& arguments)
        : run_(run), arguments_(arguments), markup_(format.is_markup()) {}

    /// Appends the bytes from `begin` up to `end` of `text`, fields replaced. A field's
    /// specification may have fields once more.
    void append(Builder& out, const Text& text, std::uint32_t depth);

  private:
    void field(Builder& out, std::string_view field, std::uint32_t depth);
    Value value_of(std::string_view name);
    Value argument(std::string_view name);

    Run& run_;
    const Arguments& arguments_;
    const bool markup_;
    std::size_t next_ = 0;
};

Value BraceFormatter::argument(std::string_view name) {
    std::size_t at = 0;
    const auto number = name.empty() ? std::optional(next_++) : read_width(name, at);
    if (number && at == name.size()) {
        if (*number >= arguments_.positional.size()) {
            fail("Replacement index " + std::to_string(*number) +
                 " out of range for positional args tuple");
        }
        return arguments_.positional[*number];
    }
    for (const auto& [key, value] : arguments_.named) {
        if (key == name) return value;
    }
    fail("the format names '" + std::string(name.substr(0, 40)) + "', which is no argument");
}

// "name.attribute[key]"
Value BraceFormatter::value_of(std::string_view name) {
    const std::size_t end = std::min(name.find_first_of(".["), name.size());
    Value value = argument(name.substr(0, end));
    for (std::string_view rest = name.substr(end); !rest.empty();) {
        const bool index = rest[0] == '[';
        const std::size_t stop =
            index ? rest.find(']') : std::min(rest.find_first_of(".[", 1), rest.size());
        if (stop == rest.npos) fail("Missing ']' in format string");
        const std::string_view part = rest.substr(1, stop - 1);
        rest = rest.substr(index ? stop + 1 : stop);
        std::size_t at = 0;
        const auto number = read_width(part, at);
        const bool whole = index && number && at == part.size();
        const Value key =
            whole ? Value::integer(static_cast<std::int64_t>(*number)) : run_.string(part);
        value = index ? item_of(run_, value, key) : attribute_of(run_, value, key);
        require_defined(value);
    }
    return value;
}

void BraceFormatter::field(Builder& out, std::string_view field, std::uint32_t depth) {
    const std::size_t colon = field.find(':');
    std::string_view name = field.substr(0, colon);
    char conversion = '\0';
    if (const std::size_t mark = name.find('!'); mark != name.npos) {
        if (mark + 2 != name.size()) fail("expected ':' after conversion specifier");
        conversion = name[mark + 1];
        name = name.substr(0, mark);
    }
    Value value = value_of(name);
    if (conversion == 'r' || conversion == 'a') value = repr_value(run_, value);
    if (conversion == 's') value = printed(run_, value);
    std::string spec(colon == field.npos ? "" : field.substr(colon + 1));
    if (spec.find_first_of("{}") != spec.npos) {
        Builder inner(run_);
        append(inner, Text(spec, Origin::written), depth + 1);
        spec = inner.text().bytes();
    }
    const bool plain = spec.empty();
    value = inserted(run_, value, markup_);
    if (plain) return print(run_, out, value);
    if (!value.is_number() && !value.is_string()) {
        require_defined(value);
        fail("unsupported format string passed to " + type_name(value) + ".__format__");
    }
    append_formatted(run_, out, value, parse_format_spec(spec));
}

void BraceFormatter::append(Builder& out, const Text& text, std::uint32_t depth) {
    if (depth > 2) fail("Max string recursion exceeded");
    const std::string& bytes = text.bytes();
    for (std::size_t at = 0; at < bytes.size();) {
        run_.step();
        const std::size_t brace = std::min(bytes.find_first_of("{}", at), bytes.size());
        out.append(text, at, brace);
        if (brace == bytes.size()) return;
        if (brace + 1 < bytes.size() && bytes[brace + 1] == bytes[brace]) {
            out.append(text, brace, brace + 1);
            at = brace + 2;
            continue;
        }
        if (bytes[brace] == '}') fail("Single '}' encountered in format string");
        std::size_t end = brace + 1;
        for (int open = 1; end < bytes.size(); ++end) {
            if (bytes[end] == '{') ++open;
            if (bytes[end] == '}' && --open == 0) break;
        }
        if (end == bytes.size()) fail("Single '{' encountered in format string");
        field(out, std::string_view(bytes).substr(brace + 1, end - brace - 1), depth);
        at = end + 1;
    }
}

}  // namespace

Value percent_formatted(Run& run, const Value& format, const Value& values) {
    return PercentFormatter(run, format, values).format();
}

Value brace_formatted(Run& run, const Value& format, const Arguments& arguments) {
    Builder out(run);
    BraceFormatter(run, format, arguments).append(out, format.text(), 0);
    return out.finish(format.is_markup());
}

}  // namespace shoal::jinja
