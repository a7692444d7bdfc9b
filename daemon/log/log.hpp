// The daemon's log, with spdlog behind it and not in every file that says something: its header
// compiles all of fmt again wherever it is called.
#pragma once

#include <fmt/core.h>

#include <utility>

namespace shoal::log {

enum class Level { debug, info, warn, error, critical };

/// Writes to standard error from now on: lines with the time and, at a terminal, colours; or, when
/// that is systemd's journal, which knows the time, lines that begin with their priority, as "<4>".
void start();
/// Whether standard error is the journal.
bool is_journal();
/// Leaves out what is below the level.
void set_level(Level least);

/// Formats and writes one line, if the level is one that the log takes. Thread-safe, as everything
/// here.
void vwrite(Level level, fmt::string_view format, fmt::format_args args);

/// One line. The format is checked when it is compiled.
template <class... Args>
void write(Level level, fmt::format_string<Args...> format, Args&&... args) {
    vwrite(level, format, fmt::make_format_args(args...));
}

template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
    vwrite(Level::info, format, fmt::make_format_args(args...));
}

template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
    vwrite(Level::warn, format, fmt::make_format_args(args...));
}

template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
    vwrite(Level::error, format, fmt::make_format_args(args...));
}

template <class... Args>
void critical(fmt::format_string<Args...> format, Args&&... args) {
    vwrite(Level::critical, format, fmt::make_format_args(args...));
}

/// Has everything written that was said before.
void flush();

}  // namespace shoal::log
