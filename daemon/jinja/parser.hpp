// From a template's source to its tree. Internal to this folder.
#pragma once

#include <string_view>

#include "daemon/jinja/ast.hpp"

namespace shoal::jinja {

/// Throws Failure, with a line, for what is no template.
ParsedTemplate parse(std::string_view source);

}  // namespace shoal::jinja
