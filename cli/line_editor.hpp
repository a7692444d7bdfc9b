// A line that the user types and edits, with those typed before.
#pragma once

#include <termios.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/signals.hpp"

namespace shoal::cli {

/// Reads lines from a terminal with the keys that libedit gives (and ~/.editrc changes), and
/// pasted text of several lines as one input. Between two reads the terminal is as it was before.
/// The locale must have been set. Owned by one thread.
class LineEditor {
  public:
    enum class End { line, interrupt, end_of_input, signal };
    struct Input {
        End end = End::line;
        std::string text;   ///< of a line: without its newline, and with those inside it
        bool empty = true;  ///< of an interrupt: nothing had been typed
        int signal = 0;     ///< of a signal: its number
    };

    /// Standard input must be a terminal. `errors`: prompts are shown on standard error, as
    /// standard output is none. Throws Error when the terminal cannot be used.
    LineEditor(Signals& signals, bool errors, bool color);
    ~LineEditor();
    LineEditor(const LineEditor&) = delete;
    LineEditor& operator=(const LineEditor&) = delete;

    /// `prompt`: what stands before the input. Ctrl-C is End::interrupt, Ctrl-D on an empty line
    /// End::end_of_input.
    Input read(const std::string& prompt);
    /// Puts a text among those that Up and Ctrl-R find.
    void remember(const std::string& text);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// While it lives, what is typed is not shown; the next read finds it. Not to be used during one.
class HiddenTyping {
  public:
    HiddenTyping();
    ~HiddenTyping();
    HiddenTyping(const HiddenTyping&) = delete;
    HiddenTyping& operator=(const HiddenTyping&) = delete;

  private:
    bool hidden_ = false;
    termios before_{};
};

}  // namespace shoal::cli
