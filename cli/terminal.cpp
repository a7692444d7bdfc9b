#include "cli/terminal.hpp"

#include <fmt/format.h>
#include <langinfo.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <cstring>

namespace shoal::cli {
namespace {

/// The line below the cursor's, where the terminal may have to scroll for it: a step down (index)
/// and up again keeps the column. Then save, go there, and back (DEC save and restore).
constexpr char kMakeRoom[] = "\033D\033[A";
constexpr char kLineBelow[] = "\0337\033[B\r";
constexpr char kBack[] = "\0338";
constexpr char kErase[] = "\033[K";

bool is_control(unsigned char c) noexcept {
    return c < 0x20 || c == 0x7F;
}

/// C1 controls, U+0080..U+009F, are commands to some terminals; in UTF-8 they are two bytes.
bool is_c1(std::string_view text, std::size_t at) noexcept {
    return static_cast<unsigned char>(text[at]) == 0xC2 && at + 1 < text.size() &&
           static_cast<unsigned char>(text[at + 1]) >= 0x80 &&
           static_cast<unsigned char>(text[at + 1]) <= 0x9F;
}

void to_stderr(std::string_view text) noexcept {
    // A progress line that cannot be written is not worth an error.
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace

Terminal terminal_of(int fd, Color color) {
    Terminal terminal;
    const char* kind = std::getenv("TERM");
    terminal.interactive = isatty(fd) == 1 && (kind == nullptr || std::strcmp(kind, "dumb") != 0);
    const char* none = std::getenv("NO_COLOR");  // https://no-color.org
    const bool wanted = terminal.interactive && (none == nullptr || *none == '\0');
    terminal.color = color == Color::always || (color == Color::automatic && wanted);
    if (!terminal.interactive) return terminal;
    terminal.unicode = std::strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    winsize size{};
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) terminal.columns = size.ws_col;
    return terminal;
}

std::string harmless(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (is_c1(text, i)) {
            out += '?';
            ++i;
        } else if (is_control(static_cast<unsigned char>(c)) && c != '\n' && c != '\t') {
            out += '?';
        } else {
            out += c;
        }
    }
    return out;
}

std::string one_line(std::string_view text) {
    std::string out = harmless(text);
    for (char& c : out) {
        if (c == '\n' || c == '\t') c = ' ';
    }
    return out;
}

std::size_t display_width(std::string_view text) noexcept {
    std::size_t width = 0;
    bool style = false;
    for (const char c : text) {
        if (c == '\x1b') style = true;
        width += !style && (static_cast<unsigned char>(c) & 0xC0) != 0x80;
        if (c == 'm') style = false;
    }
    return width;
}

std::string styled(const Terminal& terminal, Style style, std::string_view text) {
    constexpr const char* kCodes[] = {"", "1", "32", "33", "31", "2"};
    if (!terminal.color || style == Style::plain || text.empty()) return std::string(text);
    return fmt::format("\x1b[{}m{}\x1b[0m", kCodes[static_cast<std::size_t>(style)], text);
}

std::string wrapped(const Terminal& terminal, std::string_view text, std::size_t indent) {
    if (!terminal.interactive) return std::string(text);
    std::string out;
    std::size_t used = 0;
    bool first = true;
    while (!text.empty()) {
        const std::size_t space = std::min(text.find(' '), text.size());
        const std::string_view word = text.substr(0, space);
        text.remove_prefix(std::min(space + 1, text.size()));
        const std::size_t width = display_width(word);
        if (!first && used + 1 + width > terminal.columns) {
            out += '\n' + std::string(indent, ' ');
            used = indent;
        } else if (!first) {
            out += ' ';
            ++used;
        }
        out += word;
        used += width;
        first = false;
    }
    return out;
}

std::string bytes_text(std::uint64_t bytes) {
    constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    if (bytes < 1024) return fmt::format("{} B", bytes);
    double value = static_cast<double>(bytes);
    std::size_t unit = 0;
    // 999.5 and more would print as four digits.
    while (value >= 999.5 && unit + 1 < std::size(kUnits)) {
        value /= 1024;
        ++unit;
    }
    return value < 9.95 ? fmt::format("{:.1f} {}", value, kUnits[unit])
                        : fmt::format("{:.0f} {}", value, kUnits[unit]);
}

std::string seconds_text(double seconds) {
    if (!(seconds >= 0)) return "?";
    if (seconds < 9.995) return fmt::format("{:.2f} s", seconds);
    if (seconds < 119.95) return fmt::format("{:.1f} s", seconds);
    const auto whole = static_cast<std::uint64_t>(std::llround(seconds));
    return fmt::format("{} min {} s", whole / 60, whole % 60);
}

void ProgressLine::show(std::string_view what, std::uint64_t done, std::uint64_t total,
                        bool below) {
    if (!enabled_) return;
    if (below != below_) clear();
    below_ = below;
    std::string line = one_line(what);
    if (total > 0)
        line += fmt::format(
            " {} %", static_cast<std::uint64_t>(100.0 * static_cast<double>(std::min(done, total)) /
                                                static_cast<double>(total)));
    const std::size_t columns = terminal_of(STDERR_FILENO).columns;
    // A line that wraps could not be rewritten.
    if (line.size() >= columns) line.resize(columns - 1);
    if (line == shown_) return;
    to_stderr(below_ ? std::string(kMakeRoom) + kLineBelow + line + kErase + kBack
                     : "\r" + line + kErase);
    shown_ = std::move(line);
}

void ProgressLine::clear() noexcept {
    if (shown_.empty()) return;
    to_stderr(below_ ? "\0337\033[B\r\033[K\0338" : "\r\033[K");
    shown_.clear();
}

}  // namespace shoal::cli
