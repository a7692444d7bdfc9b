// What was said in a chat, and its form as JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::cli {

/// Whether a model that can is to think before it answers; as its template has it: nothing.
using Thinking = std::optional<bool>;

struct ChatMessage {
    enum class Role { system, user, assistant };
    Role role = Role::user;
    std::string content;
    std::string reasoning;  ///< of an assistant: what came before the answer
    bool operator==(const ChatMessage&) const = default;
};

/// Users and assistant take turns, as most templates want it; a system message comes first or is
/// missing. Owned by one thread.
class Conversation {
  public:
    const std::vector<ChatMessage>& messages() const noexcept { return messages_; }
    /// The user has said something.
    bool asked() const noexcept { return messages_.size() > (instruction().empty() ? 0U : 1U); }
    /// The user's last message waits for an answer.
    bool unanswered() const noexcept;

    /// Sets the system message; empty: none.
    void instruct(std::string text);
    /// The system message, empty when there is none.
    std::string_view instruction() const noexcept;
    /// A message of the user. One that has no answer is replaced.
    void say(std::string text);
    /// The answer. Requires: unanswered().
    void answer(std::string text, std::string reasoning);
    /// Takes the last answer back, so that it can be asked for again. False when nobody asked.
    bool take_back_answer();
    /// Takes the user's last message back, with its answer, and gives it. Nothing when there is
    /// none.
    std::optional<std::string> undo();
    /// Everything but the system message goes.
    void clear();

    /// As a request wants it: the messages, and what the template is told.
    std::string request(Thinking thinking) const;
    /// As a file.
    std::string to_json(const std::string& model) const;
    /// Reads such a file's text. Throws Error(kUsage) with what is wrong.
    static Conversation from_json(std::string_view text);

  private:
    std::vector<ChatMessage> messages_;
};

/// What to know of a chat with a model whose file has no template.
std::string without_template(const std::string& model);

/// Nothing for JSON, or what is wrong with it and where.
std::optional<std::string> json_problem(std::string_view text);

}  // namespace shoal::cli
