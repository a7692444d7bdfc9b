// What the user's terminal can show, and text that is safe to show on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace shoal::cli {

/// What the user says of colour; automatic: on a terminal, unless NO_COLOR is set.
enum class Color { automatic, always, never };

/// A stream as the user sees it.
struct Terminal {
    bool interactive = false;  ///< a terminal, not a file or pipe
    bool unicode = false;      ///< interactive, and the locale is UTF-8
    bool color = false;
    std::size_t columns = 80;
};

/// Looks at an open file descriptor. The locale must have been set with setlocale().
Terminal terminal_of(int fd, Color color = Color::automatic);

enum class Style { plain, bold, good, warning, bad, faint };
/// The text in a style, where the terminal has colour. Only for text that is harmless.
std::string styled(const Terminal& terminal, Style style, std::string_view text);

/// Text from elsewhere without what could command a terminal: control characters but newline and
/// tab (and C1 controls in UTF-8) become '?'.
std::string harmless(std::string_view text);
/// The same on one line: newlines and tabs become spaces.
std::string one_line(std::string_view text);

/// Characters that a UTF-8 text takes on a terminal; every code point counts as one, a style takes
/// none.
std::size_t display_width(std::string_view text) noexcept;

/// Text in lines that fit the terminal, broken between words only; each but the first begins with
/// `indent` spaces. What is no terminal has one line.
std::string wrapped(const Terminal& terminal, std::string_view text, std::size_t indent);

/// "3.4 GiB", "812 KiB", "17 B"
std::string bytes_text(std::uint64_t bytes);
/// "0.31 s", "12.4 s", "3 min 20 s"
std::string seconds_text(double seconds);

/// A line on stderr that is rewritten while something slow goes on; nothing where stderr is no
/// terminal. Owned by one thread.
class ProgressLine {
  public:
    explicit ProgressLine(bool enabled) : enabled_(enabled) {}
    ~ProgressLine() { clear(); }
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;

    /// `below`: other text stands in the terminal's line, and the progress in the one below it.
    void show(std::string_view what, std::uint64_t done, std::uint64_t total, bool below = false);
    /// Removes the line, before other output.
    void clear() noexcept;

  private:
    bool enabled_;
    bool below_ = false;
    std::string shown_;
};

}  // namespace shoal::cli
