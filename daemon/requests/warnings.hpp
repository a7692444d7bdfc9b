// What this device finds wrong, with itself and with others.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/messages/warning.hpp"

namespace shoal {

/// Owned by the control thread. What is raised is logged once, announced to the other devices and
/// shown by each of them until it is cleared.
class Warnings {
  public:
    /// `changed` is called whenever list() is another than before.
    explicit Warnings(std::function<void()> changed);

    /// Raises a warning, or replaces the one of the same name and device. Texts are cut at
    /// mesh::messages::kMaxWarningText; beyond kMaxWarnings a warning is logged and not listed.
    void raise(mesh::messages::Warning warning);
    void clear(std::string_view name, std::string_view device);
    /// `warnings`, all of this name, become all that is said under it.
    void replace(std::string_view name, std::vector<mesh::messages::Warning> warnings);

    const std::vector<mesh::messages::Warning>& list() const noexcept { return list_; }

  private:
    const std::function<void()> changed_;
    std::vector<mesh::messages::Warning> list_;  // in order of appearance
};

/// Adds the warnings of `more` that `list` has not; of two with one name and device the graver one
/// stays.
void merge(std::vector<mesh::messages::Warning>& list,
           const std::vector<mesh::messages::Warning>& more);

}  // namespace shoal
