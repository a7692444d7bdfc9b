#include "cli/output.hpp"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <string>

#include "cli/exit_codes.hpp"

namespace shoal::cli {

Output::Output(int signals) : signals_(signals) {
    struct stat status {};
    if (fstat(STDOUT_FILENO, &status) == 0 &&
        (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode))) {
        watched_ = STDOUT_FILENO;
    }
}

void Output::write(std::string_view text) {
    if (!text.empty()) last_ = text.back();
    while (!text.empty() && !closed_) {
        pollfd fds[] = {{STDOUT_FILENO, POLLOUT, 0}, {signals_, POLLIN, 0}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR) break;
        if (fds[1].revents != 0) return;
        // A pipe that polls as writable takes PIPE_BUF bytes without blocking.
        const auto size = std::min<std::size_t>(text.size(), PIPE_BUF);
        const ssize_t written = ::write(STDOUT_FILENO, text.data(), size);
        if (written >= 0) {
            text.remove_prefix(static_cast<std::size_t>(written));
        } else if (errno == EPIPE) {
            closed_ = true;
        } else if (errno != EINTR && errno != EAGAIN) {
            throw Error(kFailed,
                        std::string("cannot write to standard output: ") + std::strerror(errno));
        }
    }
}

}  // namespace shoal::cli
