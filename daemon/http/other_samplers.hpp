// Samplers that other servers have and we do not.
#pragma once

#include <string>

#include "daemon/http/json_fields.hpp"

namespace shoal::http {

/// mirostat, typical_p, dry_multiplier... may be given with the value that switches them off; what
/// only sets up one that is off, as mirostat_tau, with any number. False: it is none of these.
bool take_other_sampler(const std::string& name, const Json& value, Problem& problem);

}  // namespace shoal::http
