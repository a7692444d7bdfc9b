#include "cli/live_screen.hpp"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>

namespace shoal::cli {
namespace {

constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l";
constexpr std::string_view kLeave = "\x1b[?25h\x1b[?1049l";
constexpr std::string_view kHome = "\x1b[H", kRestOfLine = "\x1b[K", kRestOfScreen = "\x1b[J";
constexpr std::string_view kPlain = "\x1b[0m";

/// At once, whatever signal has come: a terminal that is not given back is of no use.
void to_terminal(std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
        if (written <= 0) return;
        text.remove_prefix(static_cast<std::size_t>(written));
    }
}

/// The first characters of a line, as many as fit; styles take no room.
std::string cut(std::string_view line, std::size_t columns) {
    std::size_t used = 0, at = 0;
    bool style = false;
    for (; at < line.size(); ++at) {
        const char c = line[at];
        if (c == '\x1b') style = true;
        const bool begins = !style && (static_cast<unsigned char>(c) & 0xC0) != 0x80;
        if (begins && ++used > columns) break;
        if (c == 'm') style = false;
    }
    std::string out(line.substr(0, at));
    if (at < line.size()) out += kPlain;
    return out;
}

}  // namespace

LiveScreen::LiveScreen() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    resized_ = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    termios mode{};
    if (tcgetattr(STDIN_FILENO, &mode) == 0) {
        before_ = mode;
        mode.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
        // Stopped by Ctrl-Z or ended by Ctrl-\, it would leave the screen as it is.
        mode.c_cc[VSUSP] = _POSIX_VDISABLE;
        mode.c_cc[VQUIT] = _POSIX_VDISABLE;
        tcsetattr(STDIN_FILENO, TCSANOW, &mode);
    }
    to_terminal(kEnter);
}

LiveScreen::~LiveScreen() {
    to_terminal(kLeave);
    if (before_) tcsetattr(STDIN_FILENO, TCSAFLUSH, &*before_);
    if (resized_ >= 0) close(resized_);
}

LiveScreen::Size LiveScreen::size() const {
    Size size;
    winsize told{};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &told) != 0) return size;
    if (told.ws_col > 0) size.columns = told.ws_col;
    if (told.ws_row > 0) size.rows = told.ws_row;
    return size;
}

std::string LiveScreen::frame(const std::vector<std::string>& lines, Size size) {
    std::string out(kHome);
    const std::size_t count = std::min(lines.size(), size.rows);
    for (std::size_t i = 0; i < count; ++i) {
        // Before the text: behind the last column it would erase that one.
        out += kRestOfLine;
        out += cut(lines[i], size.columns);
        // A line end on the last row would scroll.
        if (i + 1 < size.rows) out += "\r\n";
    }
    if (count < size.rows) out += kRestOfScreen;
    return out;
}

LiveScreen::Woken LiveScreen::wait(std::chrono::milliseconds time, int signals) {
    const auto end = std::chrono::steady_clock::now() + time;
    bool keys = before_.has_value();
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(std::max(
            end - std::chrono::steady_clock::now(), std::chrono::steady_clock::duration()));
        pollfd polled[] = {
            {signals, POLLIN, 0}, {resized_, POLLIN, 0}, {keys ? STDIN_FILENO : -1, POLLIN, 0}};
        if (poll(polled, 3, static_cast<int>(left.count())) == 0) return Woken::time;
        if (polled[0].revents != 0) return Woken::signal;
        if (polled[1].revents != 0) {
            signalfd_siginfo ignored{};
            while (read(resized_, &ignored, sizeof ignored) > 0) {
            }
            return Woken::resized;
        }
        char key = 0;
        if (polled[2].revents != 0 && read(STDIN_FILENO, &key, 1) != 1) keys = false;
        if (key == 'q' || key == 'Q') return Woken::key_to_leave;
    }
}

}  // namespace shoal::cli
