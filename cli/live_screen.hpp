// A terminal of which the whole is ours for a while.
#pragma once

#include <termios.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::cli {

/// Shows the terminal's other screen, without a cursor; keys are read as they are typed and not
/// shown. The destructor gives the terminal back as it was. Owned by one thread.
class LiveScreen {
  public:
    /// Standard output is a terminal; keys are read when standard input is one, too.
    LiveScreen();
    ~LiveScreen();
    LiveScreen(const LiveScreen&) = delete;
    LiveScreen& operator=(const LiveScreen&) = delete;

    struct Size {
        std::size_t columns = 80, rows = 24;
    };
    /// As of now.
    Size size() const;

    /// What is to be written so that the screen shows these lines and nothing else. Lines are cut
    /// at the right edge, what does not fit below is left out.
    static std::string frame(const std::vector<std::string>& lines, Size size);

    enum class Woken { time, key_to_leave, resized, signal };
    /// Waits. `signals` is a descriptor that is readable when the user wants to stop.
    Woken wait(std::chrono::milliseconds time, int signals);

  private:
    std::optional<termios> before_;
    int resized_ = -1;  // readable when the terminal has another size
};

}  // namespace shoal::cli
