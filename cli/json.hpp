// Events as JSON, one object on a line.
#pragma once

#include <string>

#include "mesh/messages/requests.hpp"

namespace shoal::cli {

/// `{"event":"token",...}` and a newline. Text that is not UTF-8 gets U+FFFD where it is not.
std::string json_line(const mesh::messages::Event& event);

/// `{"event":"error","code":"unreachable","message":...}` for what failed on this side.
std::string json_error_line(int exit_code, const std::string& message);

/// "not_found"
const char* name(mesh::messages::ErrorCode code) noexcept;
/// "measured"
const char* name(mesh::messages::ProfileOrigin origin) noexcept;
/// "length"
const char* name(mesh::messages::StopReason reason) noexcept;

}  // namespace shoal::cli
