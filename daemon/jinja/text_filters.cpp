#include <algorithm>

#include "daemon/jinja/attributes.hpp"
#include "daemon/jinja/error.hpp"
#include "daemon/jinja/filters.hpp"
#include "daemon/jinja/format.hpp"
#include "daemon/jinja/names.hpp"
#include "daemon/jinja/operators.hpp"
#include "daemon/jinja/print.hpp"
#include "daemon/jinja/text_operations.hpp"
#include "daemon/jinja/unicode.hpp"
#include "daemon/jinja/utf8.hpp"

namespace shoal::jinja {
namespace {

/// A filter without parameters, over the value as text.
template <Value (*operation)(Run&, const Value&)>
Value over_text(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("this filter", arguments).done();
    return operation(run, printed(run, self));
}

Value center(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("center", arguments);
    const std::int64_t width = reader.integer("width", 80);
    reader.done();
    return padded(run, printed(run, self), width, nullptr, Sides::both);
}

Value escape(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("escape", arguments).done();
    return html_escaped(run, self);
}

Value force_escape(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("forceescape", arguments).done();
    return html_escaped(run, run.string(printed(run, self).text()));
}

Value format_by_percent(Run& run, const Value& self, const Arguments& arguments) {
    if (!arguments.positional.empty() && !arguments.named.empty()) {
        fail("format can't handle positional and keyword arguments at the same time");
    }
    const Value text = printed(run, self);
    if (!arguments.named.empty()) {
        const Ref<DictCell> values = run.dict();
        for (const auto& [name, value] : arguments.named) values->set(run.string(name), value);
        return percent_formatted(run, text, Value(values));
    }
    const Ref<ListCell> values = run.list(Flavour::tuple);
    for (const Value& value : arguments.positional) values->push(value);
    return percent_formatted(run, text, Value(values));
}

Value indent(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("indent", arguments);
    const Value width = reader.take("width").value_or(Value::integer(4));
    const bool first = reader.flag("first", false), blank = reader.flag("blank", false);
    reader.done();
    Value before = width;
    if (!width.is_string()) {
        Builder blanks(run);
        const std::int64_t count = need_integer(width, "indent's width");
        blanks.fill(static_cast<std::size_t>(std::max<std::int64_t>(count, 0)), " ");
        before = blanks.finish();
    }
    // With a line end added, so that an empty last line counts.
    const Value text = applied(run, Operator::add, self, run.string("\n"));
    const Ref<ListCell> lines = split_lines(run, text, false);
    Builder out(run);
    for (std::size_t i = 0; i < lines->items.size(); ++i) {
        const Value& line = lines->items[i];
        if (i > 0) out.append("\n");
        const bool indented = i == 0 ? first : blank || !line.text().empty();
        if (indented) out.append(before);
        out.append(line);
    }
    return out.finish(text.string_cell().markup);
}

Value join_items(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("join", arguments);
    const Value separator = reader.take("d").value_or(run.string(""));
    const std::optional<Value> attribute = reader.take("attribute");
    reader.done();
    Ref<ListCell> items = items_of(run, self);
    if (attribute && !attribute->is_none()) {
        const Ref<ListCell> found = run.list();
        for (const Value& item : items->items) {
            run.step();
            found->push(path_of(run, item, *attribute));
        }
        items = found;
    }
    return joined(run, run.string(printed(run, separator).text()), *items);
}

Value replace_text(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("replace", arguments);
    const Value old = printed(run, reader.need("old")), by = printed(run, reader.need("new"));
    const Value count = reader.take("count").value_or(Value::none());
    reader.done();
    const std::int64_t most = count.is_none() ? -1 : need_integer(count, "replace's count");
    return replaced(run, run.string(printed(run, self).text()), old, by, most);
}

Value safe(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("safe", arguments).done();
    return run.string(printed(run, self).text(), true);
}

Value to_string(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("string", arguments).done();
    return printed(run, self);
}

/// Whether a word begins behind this character, to the title filter.
bool opens_word(char32_t c) noexcept {
    return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || unicode::is_space(c);
}

Value title(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("title", arguments).done();
    const Value text = printed(run, self);
    const std::string& bytes = text.bytes();
    Builder out(run);
    for (std::size_t at = 0; at < bytes.size();) {
        std::size_t end = at;
        const bool between = opens_word(utf8::at(bytes, at));
        while (end < bytes.size() && opens_word(utf8::at(bytes, end)) == between) {
            end += utf8::length_at(bytes, end);
        }
        run.step();
        // Not as str.title() does it: jinja2 takes the first letter apart from the others.
        const std::size_t first = at + utf8::length_at(bytes, at);
        out.append(uppered(run, run.string(text.text().slice(at, first))));
        out.append(lowered(run, run.string(text.text().slice(first, end))));
        at = end;
    }
    return out.finish();
}

Value trim(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("trim", arguments);
    const Value which = reader.take("chars").value_or(Value::none());
    reader.done();
    if (!which.is_none()) need_string(which, "trim's argument");
    return stripped(run, printed(run, self), Sides::both, which.is_none() ? nullptr : &which);
}

Value truncate(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("truncate", arguments);
    const std::int64_t length = reader.integer("length", 255);
    const bool kill_words = reader.flag("killwords", false);
    const Value end = reader.take("end").value_or(run.string("..."));
    const Value given = reader.take("leeway").value_or(Value::none());
    reader.done();
    const std::int64_t leeway = given.is_none() ? 5 : need_integer(given, "truncate's leeway");
    const auto end_length =
        static_cast<std::int64_t>(need_string(end, "end").string_cell().code_points);
    if (length < end_length) fail("truncate's length is less than that of its end");
    if (leeway < 0) fail("truncate's leeway is negative");
    const Value text = printed(run, self);
    const auto size = static_cast<std::int64_t>(text.string_cell().code_points);
    if (size <= length || size - length <= leeway) return text;
    Value kept = part_of(run, text, Value::integer(0), Value::integer(length - end_length));
    if (!kill_words) {
        const Value blank = run.string(" ");
        kept = split(run, kept, &blank, 1, true)->items.front();
    }
    Builder out(run);
    out.append(kept);
    out.append(end);
    return out.finish();
}

bool stays_in_url(char32_t c, bool slash) noexcept {
    const bool letter = c < 0x80 && (unicode::is_alphabetic(c) || unicode::is_digit(c));
    return letter || c == '_' || c == '.' || c == '-' || c == '~' || (slash && c == '/');
}

void append_url(Run& run, Builder& out, const Value& value, bool query) {
    const Value text = printed(run, value);
    out.append_replaced(text.text(), [query](char32_t c, std::string& by) {
        if (stays_in_url(c, !query)) return false;
        if (query && c == ' ') {
            by.push_back('+');
            return true;
        }
        std::string bytes;
        utf8::append(bytes, c);
        for (const char byte : bytes) {
            static constexpr char kHex[] = "0123456789ABCDEF";
            const auto code = static_cast<unsigned char>(byte);
            by.append({'%', kHex[code >> 4U], kHex[code & 15U]});
        }
        return true;
    });
}

Value urlencode(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("urlencode", arguments).done();
    Builder out(run);
    if (!self.is(Value::Kind::dict) && !self.is(Value::Kind::list)) {
        append_url(run, out, self, false);
        return out.finish();
    }
    const Ref<DictCell> pairs = run.dict();
    merge_into(run, *pairs, self);
    for (const auto& [key, value] : pairs->entries()) {
        run.step();
        if (!out.text().empty()) out.append("&");
        append_url(run, out, key, true);
        out.append("=");
        append_url(run, out, value, true);
    }
    return out.finish();
}

Value wordcount(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("wordcount", arguments).done();
    const Value text = printed(run, self);
    const std::string& bytes = text.bytes();
    run.work(bytes.size());
    std::int64_t count = 0;
    bool within = false;
    for (std::size_t at = 0; at < bytes.size(); at += utf8::length_at(bytes, at)) {
        const char32_t c = utf8::at(bytes, at);
        const bool word = c == '_' || unicode::is_alphabetic(c) || unicode::is_digit(c);
        if (word && !within) ++count;
        within = word;
    }
    return Value::integer(count);
}

constexpr NamedFunction kTextFilters[] = {
    {"capitalize", over_text<capitalized>},
    {"center", center},
    {"e", escape},
    {"escape", escape},
    {"forceescape", force_escape},
    {"format", format_by_percent},
    {"indent", indent},
    {"join", join_items},
    {"lower", over_text<lowered>},
    {"replace", replace_text},
    {"safe", safe},
    {"string", to_string},
    {"title", title},
    {"trim", trim},
    {"truncate", truncate},
    {"upper", over_text<uppered>},
    {"urlencode", urlencode},
    {"wordcount", wordcount},
};

}  // namespace

std::span<const NamedFunction> text_filters() noexcept {
    return kTextFilters;
}

}  // namespace shoal::jinja
