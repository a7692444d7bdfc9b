// JSON from outside, within limits.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>

#include "daemon/http/api_error.hpp"

namespace shoal::http {

inline constexpr std::size_t kMaxJsonDepth = 8;
/// Names of all objects together.
inline constexpr std::size_t kMaxJsonNames = 4096;
/// A prompt of ids is the longest list there is.
inline constexpr std::size_t kMaxJsonValues = mesh::messages::kMaxPromptTokens + kMaxJsonNames;

/// Reads an object. The limits are checked before anything is built; a name that comes twice in
/// an object is refused, because one of the values would be ignored.
std::optional<ApiError> read_json(std::string_view text, nlohmann::json& object);

}  // namespace shoal::http
