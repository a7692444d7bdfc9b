// The real program `shoal`, run and watched by a test.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace shoal::tests {

struct ProcessOptions {
    std::string input;                     ///< standard input; it is no terminal
    std::vector<std::string> environment;  ///< beside PATH and LC_ALL=C.UTF-8
    bool terminal = false;                 ///< standard output and error are one terminal
    unsigned short columns = 200;          ///< of that terminal
};

/// Started on construction. Every wait has an end, after which the test fails and the process
/// is killed.
class Process {
  public:
    Process(std::vector<std::string> arguments, ProcessOptions options = {});
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    /// Reads until standard output holds `text`.
    void wait_for_output(const std::string& text);
    void signal(int number) const;
    /// Closes our end of its standard output.
    void close_output();
    /// Reads the rest and waits. The exit code, or -N when signal N ended it.
    int wait();

    const std::string& out() const noexcept { return out_; }
    const std::string& err() const noexcept { return err_; }

  private:
    bool read_some(int milliseconds);

    pid_t pid_ = -1;
    int out_fd_ = -1, err_fd_ = -1;
    std::string out_, err_;
};

/// What a run gave.
struct Result {
    int code;
    std::string out, err;
};

Result run_shoal(std::vector<std::string> arguments, ProcessOptions options = {});

}  // namespace shoal::tests
