// An error as the API's users see it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mesh/messages/requests.hpp"

namespace shoal::http {

/// How much of a wrong name, path or header an error repeats.
inline constexpr std::size_t kQuotedBytes = 100;

struct ApiError {
    unsigned status = 500;
    std::string code;                 ///< for programs: "busy"
    std::string message;              ///< for people: what, where, what to do
    std::string param;                ///< the field at fault, if it is one
    std::uint32_t retry_seconds = 0;  ///< when to try again, as far as it is known
};

/// Seconds that the header Retry-After of such an answer says; 0: it has none.
unsigned retry_after(const ApiError& error) noexcept;

/// What the service's refusal is over HTTP.
ApiError api_error(const mesh::messages::Failed& failed);

/// The message as one API has it, whose clients know by its words that a prompt is too long.
std::string message_of(const ApiError& error, std::string_view too_long);

/// A body that was refused: 400, naming the field.
ApiError bad_field(std::string param, std::string message);

}  // namespace shoal::http
