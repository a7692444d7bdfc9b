// By what the filters sort, compare and group. Internal to this folder.
#pragma once

#include <optional>

#include "daemon/jinja/run.hpp"

namespace shoal::jinja {

/// An item, or its attributes, without upper case unless `exact`.
class SortKey {
  public:
    /// `attribute`: a path, or several with commas between them; nothing for the item itself.
    SortKey(Run& run, const std::optional<Value>& attribute, bool exact,
            const std::optional<Value>& preset = std::nullopt);

    Value of(const Value& item) const;

  private:
    Value folded(Value value) const;

    Run& run_;
    std::vector<Value> paths_;
    bool exact_;
    std::optional<Value> preset_;
};

/// The list itself, sorted: what is equal keeps its order.
Ref<ListCell> sorted(Run& run, const Ref<ListCell>& list, const SortKey& key, bool reversed);

}  // namespace shoal::jinja
