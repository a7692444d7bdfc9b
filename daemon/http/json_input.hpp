// JSON from outside, within limits.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>

#include "daemon/http/api_error.hpp"

namespace shoal::http {

/// Members stay in the order in which they came: a model is shown tools as its client wrote them.
using Json = nlohmann::ordered_json;

/// Schemas of tools are nested.
inline constexpr std::size_t kMaxJsonDepth = 64;
/// Names of all objects together, and of one, which is searched name by name.
inline constexpr std::size_t kMaxJsonNames = 65'536;
inline constexpr std::size_t kMaxJsonNamesOfOne = 2048;
/// A prompt of ids is the longest list there is.
inline constexpr std::size_t kMaxJsonValues = mesh::messages::kMaxPromptTokens + kMaxJsonNames;

/// Reads an object. The limits are checked before anything is built; a name that comes twice in
/// an object is refused, because one of the values would be ignored.
std::optional<ApiError> read_json(std::string_view text, Json& object);

}  // namespace shoal::http
