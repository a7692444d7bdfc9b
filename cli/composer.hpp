// Messages of several lines, put together from what is typed.
#pragma once

#include <string>
#include <string_view>

namespace shoal::cli {

/// A line that ends with a backslash goes on in the next. What stands between """ and """ is a
/// message as it is, whatever its lines look like. Owned by one thread.
class Composer {
  public:
    /// Takes one input, without its newline; one that was pasted may hold several lines, which are
    /// taken as they are. True when the message is whole.
    bool add(std::string_view input);
    /// Something was begun and is not whole.
    bool unfinished() const noexcept { return unfinished_; }
    /// What was put together, and how it is typed again. Only when whole.
    const std::string& text() const noexcept { return text_; }
    std::string as_typed() const { return block_ ? kQuotes + text_ + kQuotes : text_; }
    /// It stood between """ and is a message, even when it looks like a command.
    bool quoted() const noexcept { return block_; }
    /// Drops what was begun.
    void clear();

  private:
    static inline const std::string kQuotes = R"(""")";

    std::string text_;
    bool unfinished_ = false;
    bool block_ = false;
};

}  // namespace shoal::cli
