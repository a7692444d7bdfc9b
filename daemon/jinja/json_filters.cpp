#include <algorithm>

#include "daemon/jinja/error.hpp"
#include "daemon/jinja/filters.hpp"
#include "daemon/jinja/json_text.hpp"
#include "daemon/jinja/operators.hpp"

namespace shoal::jinja {
namespace {

std::optional<Value> indentation(Run& run, const Value& indent) {
    if (indent.is_none()) return std::nullopt;
    if (indent.is_string()) return indent;
    Builder blanks(run);
    const std::int64_t count = need_integer(indent, "tojson's indent");
    blanks.fill(static_cast<std::size_t>(std::max<std::int64_t>(count, 0)), " ");
    return blanks.finish();
}

Value to_json(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("tojson", arguments);
    JsonStyle style;
    style.ascii = reader.flag("ensure_ascii", false);
    style.indent = indentation(run, reader.take("indent").value_or(Value::none()));
    const Value separators = reader.take("separators").value_or(Value::none());
    style.sorted = reader.flag("sort_keys", false);
    reader.done();
    if (!separators.is_none()) {
        const Ref<ListCell> two = items_of(run, separators);
        if (two->items.size() != 2) fail("tojson's separators are two strings");
        style.between_items = need_string(two->items[0], "a separator");
        style.behind_name = need_string(two->items[1], "a separator");
    }
    return json_of(run, self, style);
}

// Not a filter of jinja2, but of published templates.
Value from_json(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("from_json", arguments).done();
    const Text& text = need_string(self, "what from_json reads").text();
    run.work(8 * text.size());
    try {
        return value_of_json(text.bytes(), text.has_input() ? Origin::input : Origin::written,
                             &run);
    } catch (const JsonError& error) {
        fail(error.what());
    }
}

constexpr NamedFunction kJsonFilters[] = {
    {"from_json", from_json}, {"fromjson", from_json}, {"tojson", to_json}};

}  // namespace

std::span<const NamedFunction> json_filters() noexcept {
    return kJsonFilters;
}

}  // namespace shoal::jinja
