#include <algorithm>

#include "daemon/jinja/attributes.hpp"
#include "daemon/jinja/error.hpp"
#include "daemon/jinja/filters.hpp"
#include "daemon/jinja/names.hpp"
#include "daemon/jinja/operators.hpp"
#include "daemon/jinja/sorting.hpp"
#include "daemon/jinja/utf8.hpp"

namespace shoal::jinja {
namespace {

Value pair_of(Run& run, const Value& first, const Value& second) {
    const Ref<ListCell> pair = run.list(Flavour::tuple);
    pair->push(first);
    pair->push(second);
    return Value(pair);
}

Value attr(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("attr", arguments);
    const Value name = need_string(reader.need("name"), "attr's name");
    reader.done();
    require_defined(self);
    if (self.is(Value::Kind::dict)) {
        // A dict's items are no attributes.
        if (auto method = method_of(run, self, name.bytes())) return *method;
        return run.undefined(object_name(self) + " has no attribute '" + name.bytes() + "'");
    }
    return attribute_of(run, self, name);
}

Value default_filter(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("default", arguments);
    const Value preset = reader.take("default_value").value_or(run.string(""));
    const bool also_false = reader.flag("boolean", false);
    reader.done();
    return self.is_undefined() || (also_false && !truth(self)) ? preset : self;
}

/// The number of lists, or of items in one.
std::size_t need_count(ArgumentReader& reader, std::string_view name) {
    const std::int64_t count = need_integer(reader.need(name), name);
    if (count < 1) fail(std::string(name) + " must be at least 1");
    return static_cast<std::size_t>(count);
}

Value batch(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("batch", arguments);
    const std::size_t size = need_count(reader, "linecount");
    const Value fill = reader.take("fill_with").value_or(Value::none());
    reader.done();
    const Ref<ListCell> out = run.list(Flavour::generator);
    Ref<ListCell> row = run.list();
    const Ref<ListCell> items = items_of(run, self);
    for (const Value& item : items->items) {
        run.step();
        if (row->items.size() == size) out->push(Value(std::exchange(row, run.list())));
        row->push(item);
    }
    if (row->items.empty()) return Value(out);
    while (!fill.is_none() && row->items.size() < size) {
        run.step();
        row->push(fill);
    }
    out->push(Value(row));
    return Value(out);
}

Value slice(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("slice", arguments);
    const std::size_t slices = need_count(reader, "slices");
    const Value fill = reader.take("fill_with").value_or(Value::none());
    reader.done();
    const Ref<ListCell> items = copied_items(run, self);
    const std::size_t each = items->items.size() / slices, longer = items->items.size() % slices;
    const Ref<ListCell> out = run.list(Flavour::generator);
    for (std::size_t i = 0, at = 0; i < slices; ++i) {
        run.step();
        const Ref<ListCell> row = run.list();
        for (const std::size_t end = at + each + (i < longer ? 1 : 0); at < end; ++at) {
            run.step();
            row->push(items->items[at]);
        }
        if (!fill.is_none() && i >= longer) row->push(fill);
        out->push(Value(row));
    }
    return Value(out);
}

Value length(Run&, const Value& self, const Arguments& arguments) {
    ArgumentReader("length", arguments).done();
    return Value::integer(static_cast<std::int64_t>(length_of(self)));
}

Value first(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("first", arguments).done();
    if (self.is_string() && !self.text().empty()) return item_of(run, self, Value::integer(0));
    const Ref<ListCell> items = items_of(run, self);
    if (items->items.empty()) return run.undefined("first: the sequence is empty");
    return items->items.front();
}

Value last(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("last", arguments).done();
    if (self.is_string() && !self.text().empty()) return item_of(run, self, Value::integer(-1));
    const Ref<ListCell> items = items_of(run, self);
    if (items->items.empty()) return run.undefined("last: the sequence is empty");
    return items->items.back();
}

Value items(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("items", arguments).done();
    const Ref<ListCell> out = run.list(Flavour::generator);
    if (self.is_undefined()) return Value(out);
    if (!self.is(Value::Kind::dict)) {
        fail("items takes a mapping, not " + type_name(self));
    }
    for (const auto& [key, value] : self.dict_cell().entries()) {
        run.step();
        out->push(pair_of(run, key, value));
    }
    return Value(out);
}

Value list(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("list", arguments).done();
    return Value(copied_items(run, self));
}

Value reverse(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("reverse", arguments).done();
    if (self.is_string()) {
        return slice_of(run, self, Value::none(), Value::none(), Value::integer(-1));
    }
    const Ref<ListCell> out = copied_items(run, self, Flavour::generator);
    std::reverse(out->items.begin(), out->items.end());
    return Value(out);
}

Value sum(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("sum", arguments);
    const std::optional<Value> attribute = reader.take("attribute");
    Value total = reader.take("start").value_or(Value::integer(0));
    reader.done();
    if (total.is_string()) fail("sum adds no strings: use join");
    const Ref<ListCell> terms = items_of(run, self);
    for (const Value& item : terms->items) {
        run.step();
        const bool whole = !attribute || attribute->is_none();
        total = applied(run, Operator::add, total, whole ? item : path_of(run, item, *attribute));
    }
    return total;
}

template <bool largest>
Value extreme(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader(largest ? "max" : "min", arguments);
    const bool exact = reader.flag("case_sensitive", false);
    const std::optional<Value> attribute = reader.take("attribute");
    reader.done();
    const Ref<ListCell> items = items_of(run, self);
    if (items->items.empty()) return run.undefined("min or max: the sequence is empty");
    const SortKey key(run, attribute, exact);
    Value best = items->items.front(), best_key = key.of(best);
    for (std::size_t i = 1; i < items->items.size(); ++i) {
        const Value next = key.of(items->items[i]);
        if (!(largest ? less(run, best_key, next) : less(run, next, best_key))) continue;
        best = items->items[i];
        best_key = next;
    }
    return best;
}

Value sort(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("sort", arguments);
    const bool reversed = reader.flag("reverse", false);
    const bool exact = reader.flag("case_sensitive", false);
    const std::optional<Value> attribute = reader.take("attribute");
    reader.done();
    return Value(sorted(run, copied_items(run, self), SortKey(run, attribute, exact), reversed));
}

Value dictsort(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("dictsort", arguments);
    const bool exact = reader.flag("case_sensitive", false);
    const Value by = reader.take("by").value_or(run.string("key"));
    const bool reversed = reader.flag("reverse", false);
    reader.done();
    const std::string& which = need_string(by, "dictsort's by").bytes();
    if (which != "key" && which != "value") fail("dictsort sorts by 'key' or by 'value'");
    require_defined(self);
    if (!self.is(Value::Kind::dict)) fail("dictsort takes a mapping, not " + type_name(self));
    const Ref<ListCell> pairs = run.list();
    for (const auto& [key, value] : self.dict_cell().entries()) {
        run.step();
        pairs->push(pair_of(run, key, value));
    }
    const Value place = Value::integer(which == "key" ? 0 : 1);
    return Value(sorted(run, pairs, SortKey(run, place, exact), reversed));
}

Value unique(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("unique", arguments);
    const bool exact = reader.flag("case_sensitive", false);
    const std::optional<Value> attribute = reader.take("attribute");
    reader.done();
    const SortKey key(run, attribute, exact);
    const Ref<DictCell> seen = run.dict();
    const Ref<ListCell> out = run.list(Flavour::generator);
    const Ref<ListCell> items = items_of(run, self);
    for (const Value& item : items->items) {
        run.step();
        const Value found = key.of(item);
        if (seen->find(found) != nullptr) continue;
        seen->set(found, Value::none());
        out->push(item);
    }
    return Value(out);
}

Value groupby(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("groupby", arguments);
    const Value attribute = reader.need("attribute");
    const std::optional<Value> preset = reader.take("default");
    const bool exact = reader.flag("case_sensitive", false);
    reader.done();
    const SortKey key(run, attribute, exact, preset);
    const Ref<ListCell> items = sorted(run, copied_items(run, self), key, false);
    const Ref<ListCell> out = run.list();
    std::optional<Value> last_key;
    Ref<ListCell> members;
    for (const Value& item : items->items) {
        run.step();
        const Value found = key.of(item);
        if (!last_key || !equal(run, *last_key, found)) {
            members = run.list();
            const Value group = pair_of(run, path_of(run, item, attribute, preset), Value(members));
            group.list_cell().group = true;
            out->push(group);
            last_key = found;
        }
        members->push(item);
    }
    return Value(out);
}

constexpr NamedFunction kSequenceFilters[] = {
    {"attr", attr},
    {"batch", lazy<batch>},
    {"count", length},
    {"d", default_filter},
    {"default", default_filter},
    {"dictsort", dictsort},
    {"first", first},
    {"groupby", groupby},
    {"items", lazy<items>},
    {"last", last},
    {"length", length},
    {"list", list},
    {"max", extreme<true>},
    {"min", extreme<false>},
    {"reverse", reverse},
    {"slice", lazy<slice>},
    {"sort", sort},
    {"sum", sum},
    {"unique", lazy<unique>},
};

}  // namespace

std::span<const NamedFunction> sequence_filters() noexcept {
    return kSequenceFilters;
}

}  // namespace shoal::jinja
