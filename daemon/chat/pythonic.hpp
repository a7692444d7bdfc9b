// Calls written as Python: [f(a=1, b="x"), g()], and literals alone.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/chat/tools.hpp"

namespace shoal::chat {

/// Follows a bracketed Python expression to its end, byte by byte.
class PythonEnd {
  public:
    enum class State { more, done, bad };
    /// After done or bad nothing more may be fed.
    State feed(char c);

  private:
    std::string open_;  ///< closing brackets to come
    char quote_ = 0;
    bool escaped_ = false;
};

/// Calls in a list, or one after the other with commas or line ends between. `name.call(...)`
/// calls `name`. nullopt for everything else, also for arguments without a name, whose parameter
/// nobody knows.
std::optional<std::vector<Call>> python_calls(std::string_view text);

/// A literal (number, string, True, False, None, list, tuple, dict with string keys) as JSON.
std::optional<std::string> python_literal(std::string_view text);

}  // namespace shoal::chat
