// What the exit code of `shoal` says; the help and the manual list the same.
#pragma once

#include <stdexcept>

#include "mesh/messages/requests.hpp"

namespace shoal::cli {

enum ExitCode : int {
    kOk = 0,
    kFailed = 1,
    kUsage = 2,
    kUnreachable = 3,
    kNotFound = 4,
    kBusy = 5,
    kSignalled = 128,     ///< plus the signal's number: 130 after Ctrl-C
    kOutputClosed = 141,  ///< as if SIGPIPE had ended it
};

constexpr int exit_code(mesh::messages::ErrorCode code) noexcept {
    using mesh::messages::ErrorCode;
    switch (code) {
        case ErrorCode::not_found:
            return kNotFound;
        case ErrorCode::busy:
            return kBusy;
        case ErrorCode::bad_request:
            return kUsage;
        case ErrorCode::too_large:
        case ErrorCode::unavailable:
        case ErrorCode::internal:
        case ErrorCode::cancelled:
        case ErrorCode::forbidden:
        case ErrorCode::context_length:
            return kFailed;
    }
    return kFailed;
}

/// The command cannot go on; the message is for the user, the code for the caller.
class Error : public std::runtime_error {
  public:
    Error(int code, const std::string& message) : std::runtime_error(message), code_(code) {}
    int code() const noexcept { return code_; }

  private:
    int code_;
};

}  // namespace shoal::cli
