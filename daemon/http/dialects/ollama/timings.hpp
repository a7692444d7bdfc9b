// When and how long, as Ollama says it.
#pragma once

#include <string>

#include "daemon/http/json_input.hpp"

namespace shoal::http::ollama {

/// The time now: "2026-11-29T16:40:00.123456Z"
std::string timestamp();
/// The same so many seconds from now.
std::string timestamp_in(double seconds);

/// "total_duration", "prompt_eval_count"...: times in nanoseconds.
void add_timings(const mesh::messages::Done& done, Json& out);

}  // namespace shoal::http::ollama
