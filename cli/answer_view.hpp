// An answer on standard output, as it comes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cli/output.hpp"
#include "cli/terminal.hpp"
#include "cli/word_wrap.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal::cli {

/// How an answer is shown.
enum class Look {
    nothing,  ///< kept only
    text,     ///< the text alone, as it is; on a terminal without what could command it
    chat,     ///< lines that fit the terminal, with the reasoning before them, faint
    answer,   ///< the same, and of the reasoning only that it goes on
};

/// Shows the tokens of one answer and keeps their text. Owned by one thread.
class AnswerView {
  public:
    AnswerView(Output& output, ProgressLine& progress, const Terminal& terminal, Look look);

    /// Throws Error when a token is missing, or when standard output cannot be written.
    void add(const mesh::messages::Token& token);
    /// What was held back until the end.
    void add(const mesh::messages::Done& done);

    const std::string& text() const noexcept { return text_; }
    const std::string& reasoning() const noexcept { return reasoning_; }

  private:
    void show_text(std::string_view text);
    void show_reasoning(std::string_view text);
    void show_calls(const std::vector<mesh::messages::ToolCall>& calls);
    void write(std::string_view text, Style style);
    bool chat() const noexcept { return look_ == Look::chat || look_ == Look::answer; }

    Output& output_;
    ProgressLine& progress_;
    const Terminal& terminal_;
    Look look_;
    WordWrap wrap_;
    std::uint32_t expected_ = 0;
    std::string text_, reasoning_;
};

}  // namespace shoal::cli
