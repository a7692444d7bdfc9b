// Signals as something to poll for.
#pragma once

namespace shoal::cli {

/// Blocks SIGINT, SIGTERM and (unless it was ignored) SIGHUP for this thread and those it starts,
/// ignores SIGPIPE, and gives the three as a file descriptor. Construct before other threads start.
class Signals {
  public:
    /// Throws std::system_error when the descriptor cannot be made.
    Signals();
    ~Signals();
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;

    int descriptor() const noexcept { return fd_; }
    /// A signal has arrived that was not taken.
    bool pending() const noexcept;
    /// The number of a signal that has arrived, 0 when none.
    int take() noexcept;

  private:
    int fd_;
};

}  // namespace shoal::cli
