// What `loop` is in the body of a for. Internal to this folder.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "daemon/jinja/cells.hpp"

namespace shoal::jinja {

class LoopCell : public Cell {
  public:
    LoopCell(Ref<ListCell> items, std::int64_t depth) noexcept
        : items_(std::move(items)), length_(items_->items.size()), depth_(depth) {}

    /// Goes to the next item; false behind the last. Items that the body takes out of the list
    /// are not there any more, as in Python.
    bool next() noexcept;
    const Value& item() const noexcept { return items_->items[index_]; }
    std::size_t length() const noexcept { return length_; }
    std::int64_t depth() const noexcept { return depth_; }

    std::optional<Value> attribute(Run& run, std::string_view name);
    /// Whether the values differ from those of the call before, which they replace.
    bool changed(Run& run, const std::vector<Value>& values);
    Value cycle(const std::vector<Value>& values) const;
    std::string described() const;

    /// loop(items) in a recursive loop. Throws Failure in others.
    virtual Value recurse(Run& run, const Value& items);

    void drop_references() noexcept override;

  private:
    Value number_attribute(std::string_view name, bool& found) const;
    Value neighbour(Run& run, bool next) const;

    Ref<ListCell> items_;
    std::size_t length_;
    std::int64_t depth_;  ///< from 0
    std::size_t index_ = static_cast<std::size_t>(-1);
    std::optional<std::vector<Value>> last_seen_;
};

}  // namespace shoal::jinja
