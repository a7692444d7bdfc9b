// Functions that every template has. Internal to this folder.
#pragma once

#include <span>

#include "daemon/jinja/methods.hpp"

namespace shoal::jinja {

/// Sorted by name.
std::span<const NamedFunction> global_functions() noexcept;

}  // namespace shoal::jinja
