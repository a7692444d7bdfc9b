// Server-sent events, as the streams of most dialects are.
#pragma once

#include <string>
#include <string_view>

#include "mesh/messages/requests.hpp"

namespace shoal::http {

/// `data` is one line.
std::string sse_event(const std::string& data);
std::string sse_event(std::string_view name, const std::string& data);
/// A comment, which clients skip: it tells people what goes on and keeps the connection busy.
std::string sse_progress(const mesh::messages::Progress& progress);

}  // namespace shoal::http
