// Variables, from the innermost block outward. Internal to this folder.
#pragma once

#include <utility>
#include <vector>

#include "daemon/jinja/ast.hpp"
#include "daemon/jinja/cells.hpp"

namespace shoal::jinja {

/// Macros keep the scope that they are made in, so it is a cell.
class Scope : public Cell {
  public:
    explicit Scope(Ref<Scope> outer) noexcept : outer_(std::move(outer)) {}

    /// Here or further out; null when nowhere.
    const Value* find(NameId name) const noexcept {
        for (const Scope* scope = this; scope != nullptr; scope = scope->outer_.get()) {
            for (const auto& [id, value] : scope->variables_) {
                if (id == name) return &value;
            }
        }
        return nullptr;
    }
    void set(NameId name, Value value) {
        for (auto& [id, old] : variables_) {
            if (id != name) continue;
            old = std::move(value);
            return;
        }
        grow(sizeof(variables_[0]));
        variables_.emplace_back(name, std::move(value));
    }
    void drop_references() noexcept override {
        variables_.clear();
        outer_ = Ref<Scope>();
    }

  private:
    Ref<Scope> outer_;
    std::vector<std::pair<NameId, Value>> variables_;
};

}  // namespace shoal::jinja
