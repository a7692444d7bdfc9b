// Methods of lists, tuples and dicts. Those that change them do so for what the template made
// itself; the input stays as it is. (The sandbox of jinja2 forbids all of them, but templates are
// published that need them.)
#include <algorithm>

#include "daemon/jinja/error.hpp"
#include "daemon/jinja/methods.hpp"
#include "daemon/jinja/operators.hpp"
#include "daemon/jinja/print.hpp"

namespace shoal::jinja {
namespace {

ListCell& changeable_list(const Value& self) {
    if (self.list_cell().constant()) fail("a list of the input cannot be changed: copy it first");
    return self.list_cell();
}

DictCell& changeable_dict(const Value& self) {
    if (self.dict_cell().constant()) fail("a dict of the input cannot be changed: copy it first");
    return self.dict_cell();
}

/// Where an item is, or the size.
std::size_t find_in(Run& run, const ListCell& list, const Value& item) {
    for (std::size_t i = 0; i < list.items.size(); ++i) {
        if (equal(run, list.items[i], item)) return i;
    }
    return list.items.size();
}

void remove_at(Run& run, ListCell& list, std::size_t at) {
    run.step(list.items.size() - at);
    list.items.erase(list.items.begin() + static_cast<std::ptrdiff_t>(at));
    list.shrink(sizeof(Value));
}

// ---- list ----

Value list_append(Run&, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("append", arguments);
    const Value item = reader.need("object");
    reader.done();
    changeable_list(self).push(item);
    return Value::none();
}

Value list_clear(Run&, const Value& self, const Arguments& arguments) {
    ArgumentReader("clear", arguments).done();
    ListCell& list = changeable_list(self);
    list.shrink(sizeof(Value) * list.items.size());
    list.items.clear();
    return Value::none();
}

Value list_copy(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("copy", arguments).done();
    return Value(copied_items(run, self));
}

Value list_count(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("count", arguments);
    const Value item = reader.need("value");
    reader.done();
    std::int64_t count = 0;
    for (const Value& other : self.list_cell().items) count += equal(run, other, item) ? 1 : 0;
    return Value::integer(count);
}

Value list_extend(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("extend", arguments);
    const Value more = reader.need("iterable");
    reader.done();
    require_defined(more);
    ListCell& list = changeable_list(self);
    const Ref<ListCell> items = copied_items(run, more);
    for (const Value& item : items->items) list.push(item);
    return Value::none();
}

Value list_index(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("index", arguments);
    const Value item = reader.need("value");
    reader.done();
    const std::size_t at = find_in(run, self.list_cell(), item);
    if (at == self.list_cell().items.size()) fail("index(): the list does not have this item");
    return Value::integer(static_cast<std::int64_t>(at));
}

Value list_insert(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("insert", arguments);
    const std::int64_t index = need_integer(reader.need("index"), "insert()'s index");
    const Value item = reader.need("object");
    reader.done();
    ListCell& list = changeable_list(self);
    const auto size = static_cast<std::int64_t>(list.items.size());
    const std::int64_t at =
        std::clamp<std::int64_t>(index < 0 ? std::max(index, -size) + size : index, 0, size);
    run.step(list.items.size());
    list.grow(sizeof(Value));
    list.items.insert(list.items.begin() + at, item);
    return Value::none();
}

Value list_pop(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("pop", arguments);
    const std::int64_t index = reader.integer("index", -1);
    reader.done();
    ListCell& list = changeable_list(self);
    const auto size = static_cast<std::int64_t>(list.items.size());
    if (index < -size || index >= size) fail("pop(): the list has no such index");
    const auto at = static_cast<std::size_t>(index < 0 ? index + size : index);
    const Value item = list.items[at];
    remove_at(run, list, at);
    return item;
}

Value list_remove(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("remove", arguments);
    const Value item = reader.need("value");
    reader.done();
    ListCell& list = changeable_list(self);
    const std::size_t at = find_in(run, list, item);
    if (at == list.items.size()) fail("remove(): the list does not have this item");
    remove_at(run, list, at);
    return Value::none();
}

Value list_reverse(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("reverse", arguments).done();
    ListCell& list = changeable_list(self);
    run.step(list.items.size());
    std::reverse(list.items.begin(), list.items.end());
    return Value::none();
}

// ---- dict ----

Value dict_clear(Run&, const Value& self, const Arguments& arguments) {
    ArgumentReader("clear", arguments).done();
    changeable_dict(self).clear();
    return Value::none();
}

Value dict_copy(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("copy", arguments).done();
    const Ref<DictCell> out = run.dict();
    run.step(self.dict_cell().size());
    for (const auto& [key, value] : self.dict_cell().entries()) out->set(key, value);
    return Value(out);
}

Value dict_get(Run&, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("get", arguments);
    const Value key = reader.need("key");
    const Value preset = reader.take("default").value_or(Value::none());
    reader.done();
    const DictCell::Entry* entry = self.dict_cell().find(key);
    return entry == nullptr ? preset : entry->value;
}

Value dict_items(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("items", arguments).done();
    const Ref<ListCell> out = run.list(Flavour::items);
    for (const auto& [key, value] : self.dict_cell().entries()) {
        run.step();
        const Ref<ListCell> pair = run.list(Flavour::tuple);
        pair->push(key);
        pair->push(value);
        out->push(Value(pair));
    }
    return Value(out);
}

Value dict_keys(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("keys", arguments).done();
    return Value(copied_items(run, self, Flavour::keys));
}

Value dict_values(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader("values", arguments).done();
    const Ref<ListCell> out = run.list(Flavour::values);
    run.step(self.dict_cell().size());
    for (const auto& entry : self.dict_cell().entries()) out->push(entry.value);
    return Value(out);
}

Value dict_pop(Run& run, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("pop", arguments);
    const Value key = reader.need("key");
    const std::optional<Value> preset = reader.take("default");
    reader.done();
    DictCell& dict = changeable_dict(self);
    const DictCell::Entry* entry = dict.find(key);
    if (entry == nullptr) {
        if (!preset) fail("pop(): the dict does not have this key");
        return *preset;
    }
    const Value value = entry->value;
    run.step(dict.size());
    dict.erase(key);
    return value;
}

Value dict_popitem(Run&, const Value& self, const Arguments& arguments) {
    ArgumentReader("popitem", arguments).done();
    changeable_dict(self);
    fail("popitem() is not supported");
}

Value dict_setdefault(Run&, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("setdefault", arguments);
    const Value key = reader.need("key");
    const Value preset = reader.take("default").value_or(Value::none());
    reader.done();
    DictCell& dict = changeable_dict(self);
    if (const DictCell::Entry* entry = dict.find(key)) return entry->value;
    dict.set(key, preset);
    return preset;
}

Value dict_update(Run& run, const Value& self, const Arguments& arguments) {
    DictCell& dict = changeable_dict(self);
    Arguments rest = arguments;
    rest.named.clear();
    ArgumentReader reader("update", rest);
    const std::optional<Value> more = reader.take("other");
    reader.done();
    if (more) merge_into(run, dict, *more);
    for (const auto& [name, value] : arguments.named) dict.set(run.string(name), value);
    return Value::none();
}

constexpr NamedFunction kListMethods[] = {{"append", list_append}, {"clear", list_clear},
                                          {"copy", list_copy},     {"count", list_count},
                                          {"extend", list_extend}, {"index", list_index},
                                          {"insert", list_insert}, {"pop", list_pop},
                                          {"remove", list_remove}, {"reverse", list_reverse}};

constexpr NamedFunction kTupleMethods[] = {{"count", list_count}, {"index", list_index}};

constexpr NamedFunction kDictMethods[] = {
    {"clear", dict_clear},     {"copy", dict_copy},
    {"get", dict_get},         {"items", dict_items},
    {"keys", dict_keys},       {"pop", dict_pop},
    {"popitem", dict_popitem}, {"setdefault", dict_setdefault},
    {"update", dict_update},   {"values", dict_values}};

}  // namespace

void merge_into(Run& run, DictCell& dict, const Value& other) {
    require_defined(other);
    if (other.is(Value::Kind::dict)) {
        const Value held = other;
        run.step(held.dict_cell().size());
        if (&held.dict_cell() == &dict) return;
        for (const auto& [key, value] : held.dict_cell().entries()) dict.set(key, value);
        return;
    }
    const Ref<ListCell> pairs = items_of(run, other);
    for (std::size_t i = 0; i < pairs->items.size(); ++i) {
        const Ref<ListCell> pair = items_of(run, pairs->items[i]);
        if (pair->items.size() != 2) fail("a dict is made of pairs, and one has another length");
        dict.set(pair->items[0], pair->items[1]);
    }
}

std::span<const NamedFunction> list_methods() noexcept {
    return kListMethods;
}
std::span<const NamedFunction> tuple_methods() noexcept {
    return kTupleMethods;
}
std::span<const NamedFunction> dict_methods() noexcept {
    return kDictMethods;
}

}  // namespace shoal::jinja
