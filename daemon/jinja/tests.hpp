// What stands behind "is". Internal to this folder.
#pragma once

#include <string_view>

#include "daemon/jinja/arguments.hpp"

namespace shoal::jinja {

using Test = bool (*)(Run& run, const Value& subject, const Arguments& arguments);

/// Throws Failure when there is none of this name.
Test test_named(std::string_view name);

}  // namespace shoal::jinja
