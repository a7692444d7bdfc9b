// An error as the API's users see it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "mesh/messages/requests.hpp"

namespace shoal::http {

/// How much of a wrong name, path or header an error repeats.
inline constexpr std::size_t kQuotedBytes = 100;

struct ApiError {
    unsigned status = 500;
    std::string code;     ///< for programs: "busy"
    std::string message;  ///< for people: what, where, what to do
    std::string param;    ///< the field at fault, if it is one
    /// {"error": {"message", "type", "param", "code"}}
    std::string json() const;
};

/// What the service's refusal is over HTTP.
ApiError api_error(const mesh::messages::Failed& failed);

/// A body that was refused: 400, naming the field.
ApiError bad_field(std::string param, std::string message);

}  // namespace shoal::http
