// What Python calls the types of values, for messages. Internal to this folder.
#pragma once

#include <string>

#include "daemon/jinja/value.hpp"

namespace shoal::jinja {

/// "str", "list", "NoneType", ...
std::string type_name(const Value& value);
/// As jinja2 names what lacks an attribute: "'list object'", "None".
std::string object_name(const Value& value);

}  // namespace shoal::jinja
