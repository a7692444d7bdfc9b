// What was typed in earlier chats, in a file.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::cli {

/// One entry on a line, with newlines and backslashes escaped. Only its owner may read the file. A
/// history that cannot be read or written is no reason to stop: it is then empty, or not kept.
/// Owned by one thread; several processes may add to one file.
class HistoryFile {
  public:
    static constexpr std::size_t kMostEntries = 1000;
    static constexpr std::size_t kMostBytes = 1u << 20;
    static constexpr std::size_t kLongestEntry = 64u << 10;

    /// `path` empty: nothing is kept.
    explicit HistoryFile(std::string path) : path_(std::move(path)) {}
    /// $XDG_STATE_HOME/shoal/history, which is in ~/.local/state; empty when there is no home.
    static std::string usual_path();

    /// The latest entries, the oldest first. A file with far more is shortened to them.
    std::vector<std::string> read() const;
    /// Adds an entry; one that is too long is left out.
    void add(std::string_view entry) const;

  private:
    void append(std::string_view text) const;

    std::string path_;
};

}  // namespace shoal::cli
