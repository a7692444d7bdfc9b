// map, select, reject and their forms for attributes.
#include "daemon/jinja/attributes.hpp"
#include "daemon/jinja/error.hpp"
#include "daemon/jinja/filters.hpp"
#include "daemon/jinja/operators.hpp"
#include "daemon/jinja/tests.hpp"

namespace shoal::jinja {
namespace {

/// Takes the first positional argument away.
std::optional<Value> shift(Arguments& arguments) {
    if (arguments.positional.empty()) return std::nullopt;
    Value first = std::move(arguments.positional.front());
    arguments.positional.erase(arguments.positional.begin());
    return first;
}

/// These filters take everything that is false, as none, for an empty list.
Ref<ListCell> items_or_none(Run& run, const Value& value) {
    return truth(value) ? items_of(run, value) : run.list();
}

Value map_attributes(Run& run, const ListCell& items, const Arguments& arguments) {
    ArgumentReader reader("map", arguments);
    const std::optional<Value> attribute = reader.take("attribute");
    const std::optional<Value> preset = reader.take("default");
    reader.done();
    if (!attribute) fail("map takes the name of a filter, or attribute=");
    const Ref<ListCell> out = run.list(Flavour::generator);
    for (const Value& item : items.items) {
        run.step();
        out->push(path_of(run, item, *attribute, preset));
    }
    return Value(out);
}

Value map(Run& run, const Value& self, const Arguments& arguments) {
    const Ref<ListCell> items = items_or_none(run, self);
    if (arguments.positional.empty()) return map_attributes(run, *items, arguments);
    Arguments rest = arguments;
    const Value name = *shift(rest);
    const Function filter = filter_named(need_string(name, "map's filter").bytes()).function;
    // A filter may be map itself, so this can nest.
    const Run::Level level(run);
    const Ref<ListCell> out = run.list(Flavour::generator);
    for (std::size_t i = 0; i < items->items.size(); ++i) {
        run.step();
        out->push(filter(run, items->items[i], rest));
    }
    return Value(out);
}

template <bool by_attribute, bool wanted>
Value choose(Run& run, const Value& self, const Arguments& arguments) {
    Arguments rest = arguments;
    std::optional<Value> attribute;
    if (by_attribute) {
        attribute = shift(rest);
        if (!attribute) fail("selectattr and rejectattr take the name of an attribute");
    }
    Test test = nullptr;
    if (const std::optional<Value> name = shift(rest)) {
        test = test_named(need_string(*name, "the name of a test").bytes());
    }
    const Ref<ListCell> items = items_or_none(run, self);
    const Ref<ListCell> out = run.list(Flavour::generator);
    for (std::size_t i = 0; i < items->items.size(); ++i) {
        run.step();
        const Value& item = items->items[i];
        const Value tested = attribute ? path_of(run, item, *attribute) : item;
        const bool holds = test == nullptr ? truth(tested) : test(run, tested, rest);
        if (holds == wanted) out->push(item);
    }
    return Value(out);
}

constexpr NamedFunction kSelectionFilters[] = {{"map", lazy<map>},
                                               {"reject", lazy<choose<false, false>>},
                                               {"rejectattr", lazy<choose<true, false>>},
                                               {"select", lazy<choose<false, true>>},
                                               {"selectattr", lazy<choose<true, true>>}};

}  // namespace

std::span<const NamedFunction> selection_filters() noexcept {
    return kSelectionFilters;
}

}  // namespace shoal::jinja
