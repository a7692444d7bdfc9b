#include "tests/cli/process.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

namespace shoal::tests {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kLimit = std::chrono::seconds(20);

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> all;
    for (std::string& text : texts) all.push_back(text.data());
    all.push_back(nullptr);
    return all;
}

}  // namespace

Process::Process(std::vector<std::string> arguments, ProcessOptions options) {
    int out[2], err[2], in[2];
    REQUIRE(pipe2(in, O_CLOEXEC) == 0);
    if (options.terminal) {
        winsize size{50, options.columns, 0, 0};
        REQUIRE(openpty(&out[0], &out[1], nullptr, nullptr, &size) == 0);
        fcntl(out[0], F_SETFD, FD_CLOEXEC);
        err[0] = -1;
        err[1] = out[1];
    } else {
        REQUIRE(pipe2(out, O_CLOEXEC) == 0);
        REQUIRE(pipe2(err, O_CLOEXEC) == 0);
    }
    arguments.insert(arguments.begin(), SHOAL_BINARY);
    options.environment.insert(options.environment.end(),
                               {"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "TERM=xterm"});
    // Everything is prepared before the fork: afterwards only safe calls are allowed.
    const auto argv = pointers(arguments);
    const auto envp = pointers(options.environment);
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        execve(SHOAL_BINARY, argv.data(), envp.data());
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    if (err[0] >= 0) close(err[1]);
    out_fd_ = out[0];
    err_fd_ = err[0];
    // Inputs of these tests fit a pipe, but for one, which must not block us for ever.
    const std::string& input = options.input;
    std::jthread writer([fd = in[1], input] {
        ::signal(SIGPIPE, SIG_IGN);
        for (std::size_t done = 0; done < input.size();) {
            const ssize_t written = write(fd, input.data() + done, input.size() - done);
            if (written <= 0) break;
            done += static_cast<std::size_t>(written);
        }
        close(fd);
    });
}

Process::~Process() {
    close_output();
    if (err_fd_ >= 0) close(err_fd_);
    if (pid_ > 0) {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
}

bool Process::read_some(int milliseconds) {
    pollfd fds[] = {{out_fd_, POLLIN, 0}, {err_fd_, POLLIN, 0}};
    poll(fds, 2, milliseconds);
    const auto take = [](pollfd& item, int& fd, std::string& to) {
        if (item.revents == 0) return;
        char buffer[65536];
        const ssize_t size = read(fd, buffer, sizeof buffer);
        if (size > 0) {
            to.append(buffer, static_cast<std::size_t>(size));
        } else {
            close(fd);  // The end; a terminal says EIO.
            fd = -1;
        }
    };
    take(fds[0], out_fd_, out_);
    take(fds[1], err_fd_, err_);
    return out_fd_ >= 0 || err_fd_ >= 0;
}

void Process::wait_for_output(const std::string& text) {
    const auto end = Clock::now() + kLimit;
    while (out_.find(text) == std::string::npos) {
        INFO("standard output: ", out_);
        INFO("standard error: ", err_);
        REQUIRE(Clock::now() < end);
        REQUIRE(read_some(100));
    }
}

void Process::signal(int number) const {
    kill(pid_, number);
}

void Process::close_output() {
    if (out_fd_ >= 0) close(out_fd_);
    out_fd_ = -1;
}

int Process::wait() {
    const auto end = Clock::now() + kLimit;
    while (read_some(100)) {
        INFO("standard output: ", out_);
        INFO("standard error: ", err_);
        REQUIRE_MESSAGE(Clock::now() < end, "the program does not end");
    }
    int status = 0;
    while (waitpid(pid_, &status, WNOHANG) == 0) {
        REQUIRE_MESSAGE(Clock::now() < end, "the program does not end");
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

Result run_shoal(std::vector<std::string> arguments, ProcessOptions options) {
    Process process(std::move(arguments), std::move(options));
    const int code = process.wait();
    return {code, process.out(), process.err()};
}

}  // namespace shoal::tests
