// JSON for clients.
#pragma once

#include <string>

#include "daemon/http/json_input.hpp"

namespace shoal::http {

/// One line. A text may end in the middle of a character or come from a broken model: what is no
/// UTF-8 is replaced.
std::string dump(const Json& value);

}  // namespace shoal::http
