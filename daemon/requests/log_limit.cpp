#include "daemon/requests/log_limit.hpp"

#include <utility>

#include "daemon/log/log.hpp"

namespace shoal {

std::string LogLimit::take(std::string line, Time now) {
    if (!bucket_.has_token(now)) {
        ++left_out_;
        return "";
    }
    bucket_.take(now);
    if (const auto count = std::exchange(left_out_, 0); count != 0) {
        line += " (and " + std::to_string(count) + " like it before)";
    }
    return line;
}

void LogLimit::warn(std::string line) {
    const std::string text = take(std::move(line), std::chrono::steady_clock::now());
    if (!text.empty()) log::warn("{}", text);
}

}  // namespace shoal
