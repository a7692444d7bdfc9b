// Events as JSON, one object on a line.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "mesh/messages/requests.hpp"

namespace shoal::cli {

/// `{"event":"token",...}` and a newline. Text that is not UTF-8 gets U+FFFD where it is not.
std::string json_line(const mesh::messages::Event& event);

/// With which context models fit the cluster, by hash; 0: not at all.
using Fits = std::map<std::string, std::uint64_t>;
/// A list of models, those in `fits` with "fits_context".
std::string json_line(const mesh::messages::ModelsReply& models, const Fits& fits);

/// `{"event":"error","code":"unreachable","message":...}` for what failed on this side.
std::string json_error_line(int exit_code, const std::string& message);

/// "not_found"
const char* name(mesh::messages::ErrorCode code) noexcept;
/// "measured"
const char* name(mesh::messages::ProfileOrigin origin) noexcept;
/// "length"
const char* name(mesh::messages::StopReason reason) noexcept;

}  // namespace shoal::cli
