// One call while it arrives: from behind its first mark to its end.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/chat/call_syntax.hpp"
#include "daemon/chat/json_text.hpp"
#include "daemon/chat/pythonic.hpp"
#include "daemon/chat/tools.hpp"

namespace shoal::chat {

/// Longest call that is held back.
inline constexpr std::size_t kMaxCallBytes = std::size_t{1} << 20;
/// Longest text before the arguments of a call.
inline constexpr std::size_t kMaxHeaderBytes = 512;

/// Looks at every byte once, however the text is cut. Where it ends, and what it says, depends on
/// the text alone.
class CallBody {
  public:
    enum class State {
        more,  ///< not at its end
        done,  ///< ends at end(); calls() has what it says
        text,  ///< no call after all; text goes on at end()
        said   ///< names no tool but everyone: text of the answer begins at end()
    };

    /// The frame and the tools are kept by reference.
    CallBody(const CallFrame& frame, const ToolTable& tools, bool single_member);
    /// For a call whose name stood before: the arguments alone, as an object.
    CallBody(const CallFrame& frame, const ToolTable& tools, std::string name);

    /// All that came behind the first mark, with what was there before. Not after anything but
    /// State::more.
    State read(std::string_view text);

    std::size_t end() const noexcept { return end_; }
    std::vector<Call>& calls() noexcept { return calls_; }
    /// Whether what came can only be a call, when it ends here.
    bool is_certain() const noexcept { return certain_; }

  private:
    enum class Phase { lead, named, json, python, marked };

    State lead(std::string_view text);
    State header(std::string_view text);
    State json(std::string_view text);
    State python(std::string_view text);
    State marked(std::string_view text);
    State ended(std::size_t end, std::optional<std::vector<Call>> calls);
    State refused(std::size_t end) noexcept;
    State begin(Phase phase, std::size_t at) noexcept;

    const CallFrame& frame_;
    const ToolTable& tools_;
    bool single_member_;
    bool certain_;
    bool fenced_ = false;
    Phase phase_ = Phase::lead;
    std::size_t begin_ = 0;  ///< of the JSON or Python
    std::size_t at_ = 0;     ///< looked at so far
    std::size_t end_ = 0;
    JsonEnd json_end_;
    PythonEnd python_end_;
    std::optional<Call> header_;
    std::vector<Call> calls_;
};

}  // namespace shoal::chat
