#include "daemon/jinja/loop.hpp"

#include "daemon/jinja/error.hpp"
#include "daemon/jinja/methods.hpp"
#include "daemon/jinja/operators.hpp"

namespace shoal::jinja {
namespace {

Value call_cycle(Run&, const Value& self, const Arguments& arguments) {
    return self.loop_cell().cycle(arguments.positional);
}

Value call_changed(Run& run, const Value& self, const Arguments& arguments) {
    return Value::boolean(self.loop_cell().changed(run, arguments.positional));
}

}  // namespace

bool LoopCell::next() noexcept {
    return ++index_ < items_->items.size();
}

std::optional<Value> LoopCell::attribute(Run& run, std::string_view name) {
    if (name == "first") return Value::boolean(index_ == 0);
    if (name == "last") return Value::boolean(index_ + 1 >= length_);
    if (name == "previtem") return neighbour(run, false);
    if (name == "nextitem") return neighbour(run, true);
    const Value self{Ref(this)};
    if (name == "cycle") return bound(run, {"cycle", call_cycle}, self);
    if (name == "changed") return bound(run, {"changed", call_changed}, self);
    bool found = true;
    const Value number = number_attribute(name, found);
    if (!found) return std::nullopt;
    return number;
}

Value LoopCell::number_attribute(std::string_view name, bool& found) const {
    const auto index = static_cast<std::int64_t>(index_);
    const auto length = static_cast<std::int64_t>(length_);
    if (name == "index") return Value::integer(index + 1);
    if (name == "index0") return Value::integer(index);
    if (name == "revindex") return Value::integer(length - index);
    if (name == "revindex0") return Value::integer(length - index - 1);
    if (name == "length") return Value::integer(length);
    if (name == "depth") return Value::integer(depth_ + 1);
    if (name == "depth0") return Value::integer(depth_);
    found = false;
    return {};
}

Value LoopCell::neighbour(Run& run, bool next) const {
    const std::size_t at = next ? index_ + 1 : index_ - 1;
    if (at < items_->items.size()) return items_->items[at];
    return run.undefined(next ? "there is no next item" : "there is no previous item");
}

bool LoopCell::changed(Run& run, const std::vector<Value>& values) {
    bool same = last_seen_.has_value() && last_seen_->size() == values.size();
    for (std::size_t i = 0; same && i < values.size(); ++i) {
        same = equal(run, (*last_seen_)[i], values[i]);
    }
    if (same) return false;
    if (!last_seen_) grow(values.size() * sizeof(Value));
    last_seen_ = values;
    return true;
}

Value LoopCell::cycle(const std::vector<Value>& values) const {
    if (values.empty()) fail("loop.cycle() has nothing to choose from");
    return values[index_ % values.size()];
}

std::string LoopCell::described() const {
    return "<LoopContext " + std::to_string(index_ + 1) + "/" + std::to_string(length_) + ">";
}

Value LoopCell::recurse(Run&, const Value&) {
    fail("loop() is called in a loop without 'recursive'");
}

void LoopCell::drop_references() noexcept {
    last_seen_.reset();
    items_ = Ref<ListCell>();
}

}  // namespace shoal::jinja
