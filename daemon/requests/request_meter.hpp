// What the requests for text of this device's clients came to.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "daemon/metrics/histogram.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal {

/// How requests end: as StopReason has it, then as ErrorCode.
inline constexpr std::array kOutcomes = {"stop",      "length",    "cancelled",     "bad_request",
                                         "not_found", "busy",      "too_large",     "unavailable",
                                         "internal",  "forbidden", "context_length"};

/// Of one model. Times are seconds, as the client's device sees them.
struct RequestFigures {
    std::array<std::uint64_t, kOutcomes.size()> outcomes{};
    // Of requests with a token:
    Histogram first_token{kSecondBounds};  ///< from the request's beginning
    Histogram next_token{kSecondBounds};   ///< from the token before
    // Of those that ended with their answer:
    Histogram whole{kSecondBounds};
    Histogram queue{kSecondBounds};
    Histogram prefill{kSecondBounds};
    Histogram prompt_tokens{kTokenBounds};
    Histogram generated_tokens{kTokenBounds};
};

/// Thread-safe.
class RequestMeter {
  public:
    using Time = std::chrono::steady_clock::time_point;
    /// Of this many models figures are kept apart; what more there are, a text without a name has.
    static constexpr std::size_t kMaxModels = 16;

    /// One request, on its way.
    struct Course {
        Time begun{};
        std::optional<Time> latest_token{};
        std::string model{};  ///< as tokens name it
    };
    struct Reading {
        std::map<std::string, RequestFigures> models;  ///< by name; "": it was not told
        std::uint32_t active = 0;                      ///< requests that have not ended
    };

    Course begin(Time now);
    void token(Course& course, const mesh::messages::Token& token, Time now);
    /// `final` is the request's last event.
    void end(const Course& course, const mesh::messages::Event& final, Time now);
    /// It ended before it had begun.
    void refuse(const mesh::messages::Failed& failed);

    Reading read() const;

  private:
    RequestFigures& of(const std::string& model);

    mutable std::mutex mutex_;
    Reading reading_;  // guarded by mutex_
};

}  // namespace shoal
