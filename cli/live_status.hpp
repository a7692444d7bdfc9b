// A status as a screen that is shown again and again.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "cli/terminal.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal::cli {

/// Tokens a second between two statuses, which the daemon tells of one answer only.
class TokenRate {
  public:
    using Time = std::chrono::steady_clock::time_point;
    void look(std::uint64_t generated_tokens, Time now);
    double per_second() const noexcept { return per_second_; }

  private:
    std::optional<Time> last_;
    std::uint64_t tokens_ = 0;
    double per_second_ = 0;
};

/// "██████▒▒▒▒" for `share` of all in so many columns, of which `done` (0..1) is loaded; in ASCII
/// where the terminal has no more.
std::string bar(double share, double done, std::size_t columns, const Terminal& terminal);

/// The lines of the screen; none is longer than the terminal is wide, but for styles.
std::vector<std::string> live_lines(const mesh::messages::StatusReply& status,
                                    double tokens_per_second, const Terminal& terminal);

}  // namespace shoal::cli
