#include <algorithm>

#include "daemon/jinja/error.hpp"
#include "daemon/jinja/format.hpp"
#include "daemon/jinja/methods.hpp"
#include "daemon/jinja/names.hpp"
#include "daemon/jinja/operators.hpp"
#include "daemon/jinja/text_operations.hpp"
#include "daemon/jinja/unicode.hpp"
#include "daemon/jinja/utf8.hpp"

namespace shoal::jinja {
namespace {

/// A string parameter where none means that it was not given.
std::optional<Value> optional_string(ArgumentReader& reader, std::string_view name) {
    std::optional<Value> value = reader.take(name);
    if (!value || value->is_none()) return std::nullopt;
    need_string(*value, name);
    return value;
}

const Value* pointer(const std::optional<Value>& value) {
    return value ? &*value : nullptr;
}

template <Value (*operation)(Run&, const Value&)>
Value plain(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("this method", arguments).done();
    return operation(run, self);
}

template <Sides sides>
Value strip(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("strip", arguments);
    const auto which = optional_string(reader, "chars");
    reader.done();
    return stripped(run, self, sides, pointer(which));
}

template <bool from_right>
Value split_method(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("split", arguments);
    const auto separator = optional_string(reader, "sep");
    const std::int64_t most = reader.integer("maxsplit", -1);
    reader.done();
    return Value(split(run, self, pointer(separator), most, from_right));
}

Value splitlines(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("splitlines", arguments);
    const bool keep = reader.flag("keepends", false);
    reader.done();
    return Value(split_lines(run, self, keep));
}

template <bool from_right>
Value partition(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("partition", arguments);
    const Value separator = need_string(reader.need("sep"), "partition()'s separator");
    reader.done();
    const Ref<ListCell> parts = split(run, self, &separator, 1, from_right);
    const Ref<ListCell> out = run.list(Flavour::tuple);
    if (parts->items.size() == 2) {
        for (const Value& part : {parts->items[0], separator, parts->items[1]}) out->push(part);
        return Value(out);
    }
    const Value empty = run.string("");
    for (const Value& part : {from_right ? empty : self, empty, from_right ? self : empty}) {
        out->push(part);
    }
    return Value(out);
}

Value replace(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("replace", arguments);
    const Value old = need_string(reader.need("old"), "replace()'s first argument");
    Value by = need_string(reader.need("new"), "replace()'s second argument");
    const std::int64_t most = reader.integer("count", -1);
    reader.done();
    if (self.string_cell().markup) by = html_escaped(run, by);
    return replaced(run, self, old, by, most);
}

/// The part of the text that the arguments start and end of a search mean.
struct Searched {
    Value text;
    std::int64_t begin = 0;  ///< where it is in the whole
    bool beyond = false;     ///< start is behind the end, where nothing is found
};

Searched searched(Run& run, const Value& self, ArgumentReader& reader) {
    const Value begin = reader.take("start").value_or(Value::none());
    const Value end = reader.take("end").value_or(Value::none());
    reader.done();
    if (begin.is_none() && end.is_none()) return {self, 0, false};
    const auto size = static_cast<std::int64_t>(self.string_cell().code_points);
    std::int64_t from = begin.is_none() ? 0 : need_integer(begin, "start");
    if (from < 0) from = std::max<std::int64_t>(0, std::max(from, -size - 1) + size);
    return {part_of(run, self, begin, end), from, from > size};
}

template <bool from_right, bool must>
Value find(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("find", arguments);
    const Value what = need_string(reader.need("sub"), "what is searched");
    const Searched part = searched(run, self, reader);
    const std::int64_t found = part.beyond ? -1 : position_in(run, part.text, what, from_right);
    if (must && found < 0) fail("substring not found");
    return Value::integer(found < 0 ? -1 : found + part.begin);
}

Value count(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("count", arguments);
    const Value what = need_string(reader.need("sub"), "what is counted");
    const Searched part = searched(run, self, reader);
    return Value::integer(part.beyond ? 0 : count_in(run, part.text, what));
}

bool affix_matches(const Value& text, const Value& affix, bool at_end) {
    need_string(affix, "a prefix or suffix");
    const std::string& bytes = text.bytes();
    return at_end ? bytes.ends_with(affix.bytes()) : bytes.starts_with(affix.bytes());
}

template <bool at_end>
Value affix(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader(at_end ? "endswith" : "startswith", arguments);
    const Value wanted = reader.need("affix");
    const Searched part = searched(run, self, reader);
    if (part.beyond) return Value::boolean(false);
    const bool several =
        wanted.is(Value::Kind::list) && wanted.list_cell().flavour == Flavour::tuple;
    if (!several) return Value::boolean(affix_matches(part.text, wanted, at_end));
    const auto& all = wanted.list_cell().items;
    run.step(all.size());
    return Value::boolean(std::any_of(all.begin(), all.end(), [&](const Value& one) {
        return affix_matches(part.text, one, at_end);
    }));
}

template <bool at_end>
Value remove_affix(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader(at_end ? "removesuffix" : "removeprefix", arguments);
    const Value wanted = reader.need("affix");
    reader.done();
    if (!affix_matches(self, wanted, at_end) || wanted.bytes().empty()) return self;
    const Text& text = self.text();
    const std::size_t size = wanted.bytes().size();
    run.work(text.size());
    return run.string(at_end ? text.slice(0, text.size() - size) : text.slice(size, text.size()),
                      self.string_cell().markup);
}

Value join(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("join", arguments);
    const Value given = reader.need("iterable");
    reader.done();
    Ref<ListCell> items = items_of(run, given);
    for (std::size_t i = 0; i < items->items.size(); ++i) {
        if (items->items[i].is_string()) continue;
        require_defined(items->items[i]);
        fail("sequence item " + std::to_string(i) + ": expected str instance, " +
             type_name(items->items[i]) + " found");
    }
    if (self.string_cell().markup) {
        const Ref<ListCell> escaped = run.list();
        for (const Value& item : items->items) escaped->push(html_escaped(run, item));
        items = escaped;
    }
    return joined(run, self, *items);
}

Value format(Run& run, const Value& self, const Arguments& arguments) {
    return brace_formatted(run, self, arguments);
}

template <Sides sides>
Value pad(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("center", arguments);
    const std::int64_t width = need_integer(reader.need("width"), "the width");
    const auto fill = optional_string(reader, "fillchar");
    reader.done();
    return padded(run, self, width, pointer(fill), sides);
}

Value zfill(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("zfill", arguments);
    const std::int64_t width = need_integer(reader.need("width"), "the width");
    reader.done();
    const std::string& bytes = self.bytes();
    const bool sign = bytes.starts_with('-') || bytes.starts_with('+');
    const auto size = static_cast<std::int64_t>(self.string_cell().code_points);
    Builder out(run);
    out.append(self.text(), 0, sign ? 1 : 0);
    out.fill(static_cast<std::size_t>(std::max<std::int64_t>(width - size, 0)), "0");
    out.append(self.text(), sign ? 1 : 0, bytes.size());
    return out.finish(self.string_cell().markup);
}

Value casefold(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("casefold", arguments).done();
    // A sigma is folded into the usual one, wherever it stands.
    const Value folded =
        replaced(run, lowered(run, self), run.string("\xC3\x9F"), run.string("ss"), -1);
    return replaced(run, folded, run.string("\xCF\x82"), run.string("\xCF\x83"), -1);
}

/// Whether there are characters and all are of a class.
template <bool (*member)(char32_t)>
Value all_of(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("this method", arguments).done();
    const std::string& bytes = self.bytes();
    run.work(bytes.size());
    for (std::size_t at = 0; at < bytes.size(); at += utf8::length_at(bytes, at)) {
        if (!member(utf8::at(bytes, at))) return Value::boolean(false);
    }
    return Value::boolean(!bytes.empty());
}

bool is_alphanumeric(char32_t c) {
    return unicode::is_alphabetic(c) || unicode::is_digit(c);
}
bool is_alphabetic(char32_t c) {
    return unicode::is_alphabetic(c);
}
bool is_digit(char32_t c) {
    return unicode::is_digit(c);
}
bool is_space(char32_t c) {
    return unicode::is_space(c);
}

/// Whether there are letters with case and all of them have this one.
template <bool upper>
Value all_case(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("this method", arguments).done();
    return Value::boolean(has_case(run, self, upper));
}

Value isascii(Run&, const Value& self, const Arguments& arguments) {
    ArgumentReader("isascii", arguments).done();
    return Value::boolean(self.string_cell().ascii());
}

constexpr NamedFunction kStringMethods[] = {
    {"capitalize", plain<capitalized>},
    {"casefold", casefold},
    {"center", pad<Sides::both>},
    {"count", count},
    {"endswith", affix<true>},
    {"find", find<false, false>},
    {"format", format},
    {"index", find<false, true>},
    {"isalnum", all_of<is_alphanumeric>},
    {"isalpha", all_of<is_alphabetic>},
    {"isascii", isascii},
    {"isdecimal", all_of<is_digit>},
    {"isdigit", all_of<is_digit>},
    {"islower", all_case<false>},
    {"isnumeric", all_of<is_digit>},
    {"isspace", all_of<is_space>},
    {"isupper", all_case<true>},
    {"join", join},
    {"ljust", pad<Sides::right>},
    {"lower", plain<lowered>},
    {"lstrip", strip<Sides::left>},
    {"partition", partition<false>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"replace", replace},
    {"rfind", find<true, false>},
    {"rindex", find<true, true>},
    {"rjust", pad<Sides::left>},
    {"rpartition", partition<true>},
    {"rsplit", split_method<true>},
    {"rstrip", strip<Sides::right>},
    {"split", split_method<false>},
    {"splitlines", splitlines},
    {"startswith", affix<false>},
    {"strip", strip<Sides::both>},
    {"swapcase", plain<case_swapped>},
    {"title", plain<titled>},
    {"upper", plain<uppered>},
    {"zfill", zfill},
};

}  // namespace

std::span<const NamedFunction> string_methods() noexcept {
    return kStringMethods;
}

}  // namespace shoal::jinja
