// "options" of Ollama's requests.
#pragma once

#include <string>

#include "daemon/http/sampling_fields.hpp"

namespace shoal::http::ollama {

/// How tokens are drawn, and how many. What tells a server of its hardware (num_gpu, num_ctx...)
/// is accepted and changes nothing; any other is an error that names it.
Problem take_options(const std::string& name, const Json& value, Sampled& out);

}  // namespace shoal::http::ollama
