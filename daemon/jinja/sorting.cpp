#include "daemon/jinja/sorting.hpp"

#include <algorithm>

#include "daemon/jinja/attributes.hpp"
#include "daemon/jinja/operators.hpp"
#include "daemon/jinja/text_operations.hpp"

namespace shoal::jinja {

SortKey::SortKey(Run& run, const std::optional<Value>& attribute, bool exact,
                 const std::optional<Value>& preset)
    : run_(run), exact_(exact), preset_(preset) {
    if (!attribute || attribute->is_none()) return;
    if (!attribute->is_string()) {
        paths_.push_back(*attribute);
        return;
    }
    const Value comma = run.string(",");
    paths_ = split(run, *attribute, &comma, -1, false)->items;
}

Value SortKey::folded(Value value) const {
    return exact_ || !value.is_string() ? value : lowered(run_, value);
}

Value SortKey::of(const Value& item) const {
    if (paths_.empty()) return folded(item);
    if (paths_.size() == 1) return folded(path_of(run_, item, paths_.front(), preset_));
    const Ref<ListCell> all = run_.list();
    for (const Value& path : paths_) all->push(folded(path_of(run_, item, path, preset_)));
    return Value(all);
}

Ref<ListCell> sorted(Run& run, const Ref<ListCell>& list, const SortKey& key, bool reversed) {
    struct Keyed {
        Value key, item;
    };
    // As much again is in use meanwhile, and counted by this list of keys.
    const Ref<ListCell> keys = run.list();
    std::vector<Keyed> order;
    for (Value& item : list->items) {
        run.step();
        keys->push(key.of(item));
        order.push_back({keys->items.back(), item});
    }
    std::stable_sort(order.begin(), order.end(), [&](const Keyed& a, const Keyed& b) {
        return reversed ? less(run, b.key, a.key) : less(run, a.key, b.key);
    });
    for (std::size_t i = 0; i < order.size(); ++i) list->items[i] = std::move(order[i].item);
    return list;
}

}  // namespace shoal::jinja
