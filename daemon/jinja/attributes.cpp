#include "daemon/jinja/attributes.hpp"

#include <algorithm>

#include "daemon/jinja/arguments.hpp"
#include "daemon/jinja/error.hpp"
#include "daemon/jinja/loop.hpp"
#include "daemon/jinja/methods.hpp"
#include "daemon/jinja/names.hpp"
#include "daemon/jinja/operators.hpp"
#include "daemon/jinja/print.hpp"
#include "daemon/jinja/utf8.hpp"

namespace shoal::jinja {
namespace {

std::string key_text(Run& run, const Value& key) {
    if (key.is_string()) return "attribute '" + key.bytes().substr(0, 100) + "'";
    Builder out(run);
    print_repr(run, out, key);
    return "element " + out.text().bytes().substr(0, 100);
}

Value missing(Run& run, const Value& object, const Value& key) {
    return run.undefined(object_name(object) + " has no " + key_text(run, key));
}

/// Found items, or nothing.
std::optional<Value> found_item(Run& run, const Value& object, const Value& key) {
    switch (object.kind()) {
        case Value::Kind::dict: {
            const DictCell::Entry* entry = object.dict_cell().find(key);
            if (entry == nullptr) return std::nullopt;
            return entry->value;
        }
        case Value::Kind::list: {
            const ListCell& cell = object.list_cell();
            const bool indexed = cell.flavour == Flavour::list || cell.flavour == Flavour::tuple ||
                                 cell.flavour == Flavour::range;
            if (!indexed || !key.is_integral()) return std::nullopt;
            const auto size = static_cast<std::int64_t>(cell.items.size());
            const std::int64_t index = key.as_integer();
            if (index < -size || index >= size) return std::nullopt;
            return cell.items[static_cast<std::size_t>(index < 0 ? index + size : index)];
        }
        case Value::Kind::string: {
            if (!key.is_integral()) return std::nullopt;
            const StringCell& cell = object.string_cell();
            const auto size = static_cast<std::int64_t>(cell.code_points);
            const std::int64_t index = key.as_integer();
            if (index < -size || index >= size) return std::nullopt;
            const auto at = static_cast<std::size_t>(index < 0 ? index + size : index);
            if (!cell.ascii()) run.work(cell.text.size());
            const std::string& bytes = cell.text.bytes();
            const std::size_t begin = cell.ascii() ? at : utf8::offset_of(bytes, at);
            return run.string(cell.text.slice(begin, begin + utf8::length_at(bytes, begin)),
                              cell.markup);
        }
        default:
            return std::nullopt;
    }
}

std::optional<Value> found_attribute(Run& run, const Value& object, const Value& name) {
    if (object.is(Value::Kind::name_space)) {
        const DictCell::Entry* entry = object.dict_cell().find(name);
        if (entry == nullptr) return std::nullopt;
        return entry->value;
    }
    if (object.is(Value::Kind::loop)) return object.loop_cell().attribute(run, name.bytes());
    if (object.is(Value::Kind::list) && object.list_cell().group) {
        if (name.bytes() == "grouper") return object.list_cell().items[0];
        if (name.bytes() == "list") return object.list_cell().items[1];
    }
    return method_of(run, object, name.bytes());
}

/// The indices that a slice of a sequence of `size` items takes.
struct Range {
    std::int64_t from, to, step;
};

Range resolved(std::size_t length, const Value& from, const Value& to, const Value& step) {
    const auto size = static_cast<std::int64_t>(length);
    Range out{0, size, 1};
    const auto number = [](const Value& v) { return v.as_integer(); };
    if (!step.is_none()) out.step = number(step);
    if (out.step == 0) fail("slice step cannot be zero");
    const bool down = out.step < 0;
    const auto bound = [&](const Value& v, std::int64_t preset) {
        if (v.is_none()) return preset;
        const std::int64_t low = down ? -1 : 0, high = down ? size - 1 : size;
        const std::int64_t given = number(v);
        return std::clamp(given < 0 ? std::max(given, -size - 1) + size : given, low, high);
    };
    out.from = bound(from, down ? size - 1 : 0);
    out.to = bound(to, down ? -1 : size);
    // No more than one item is between steps that are as large as the whole.
    out.step = std::clamp(out.step, -size - 1, size + 1);
    return out;
}

template <class Take>
void for_each_index(const Range& range, Take&& take) {
    for (std::int64_t i = range.from; range.step > 0 ? i < range.to : i > range.to;
         i += range.step) {
        take(static_cast<std::size_t>(i));
    }
}

Value string_slice(Run& run, const StringCell& cell, const Range& range) {
    const Text& text = cell.text;
    run.work(text.size());
    if (range.step == 1) {
        const auto offset = [&](std::int64_t index) {
            const auto at = static_cast<std::size_t>(index);
            return cell.ascii() ? at : utf8::offset_of(text.bytes(), at);
        };
        if (range.from >= range.to) return run.string("");
        return run.string(text.slice(offset(range.from), offset(range.to)), cell.markup);
    }
    const Ref<ListCell> characters = items_of(run, Value(Ref(const_cast<StringCell*>(&cell))));
    Builder out(run);
    for_each_index(range, [&](std::size_t i) { out.append(characters->items[i]); });
    return out.finish(cell.markup);
}

}  // namespace

Value attribute_of(Run& run, const Value& object, const Value& name) {
    require_defined(object);
    if (auto found = found_attribute(run, object, name)) return *found;
    if (auto found = found_item(run, object, name)) return *found;
    return missing(run, object, name);
}

Value item_of(Run& run, const Value& object, const Value& key) {
    require_defined(object);
    if (auto found = found_item(run, object, key)) return *found;
    if (key.is_string()) {
        if (auto found = found_attribute(run, object, key)) return *found;
    }
    return missing(run, object, key);
}

Value slice_of(Run& run, const Value& object, const Value& from, const Value& to,
               const Value& step) {
    require_defined(object);
    for (const Value* bound : {&from, &to, &step}) {
        if (!bound->is_none() && !bound->is_integral()) {
            return run.undefined("slice indices must be integers");
        }
    }
    if (object.is_string()) {
        const StringCell& cell = object.string_cell();
        return string_slice(run, cell, resolved(cell.code_points, from, to, step));
    }
    const bool sliceable =
        object.is(Value::Kind::list) && (object.list_cell().flavour == Flavour::list ||
                                         object.list_cell().flavour == Flavour::tuple ||
                                         object.list_cell().flavour == Flavour::range);
    if (!sliceable) return run.undefined(object_name(object) + " cannot be sliced");
    const ListCell& cell = object.list_cell();
    const Ref<ListCell> out = run.list(cell.flavour);
    const Range range = resolved(cell.items.size(), from, to, step);
    for_each_index(range, [&](std::size_t i) {
        run.step();
        out->push(cell.items[i]);
    });
    return Value(out);
}

Value path_of(Run& run, const Value& object, const Value& path,
              const std::optional<Value>& preset) {
    const auto with_preset = [&](Value found) {
        return found.is_undefined() && preset && !preset->is_none() ? *preset : found;
    };
    if (!path.is_string()) return with_preset(item_of(run, object, path));
    Value value = object;
    const std::string& text = path.bytes();
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t end = std::min(text.find('.', at), text.size());
        const std::string part = text.substr(at, end - at);
        const bool number =
            !part.empty() && part.size() < 10 &&
            std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
        const Value key = number ? Value::integer(std::stoll(part)) : run.string(part);
        value = with_preset(item_of(run, value, key));
        at = end + 1;
    }
    return value;
}

}  // namespace shoal::jinja
