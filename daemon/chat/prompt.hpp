// What a model's chat template makes of a conversation: the prompt, and which of it people wrote.
#pragma once

#include <cstddef>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "daemon/chat/conversation.hpp"
#include "daemon/jinja/template.hpp"

namespace shoal::chat {

/// A template as a model's file has it.
struct ChatTemplate {
    std::string source;
    std::string name;                         ///< how errors call it
    std::string bos, eos;                     ///< texts of the tokens, empty where there are none
    std::optional<jinja::Template> parsed{};  ///< `source`, where somebody has parsed it already
};

/// ChatML, for files without a template: the form that most models have seen.
std::string_view built_in_template() noexcept;

/// A stretch of a prompt.
struct Stretch {
    std::size_t bytes = 0;
    bool literal = false;  ///< people, tools or the model wrote it: it holds no markers
    bool operator==(const Stretch&) const = default;
};

struct Prompt {
    std::string text;
    std::vector<Stretch> stretches;  ///< of all of it, in order

    /// What stands behind everything that people, tools or the model wrote.
    std::string_view open_end() const noexcept;
    /// Adds a stretch, unless it is empty.
    void append(std::string_view more, bool literal);
};

/// The prompt, or a sentence for the user: the template refuses, is wrong, or takes too long.
/// `now` is what templates tell as the date. Names of roles are markers as much as the template's
/// own text. Tools that the template does not know of are described in the system's message.
/// A last message of the assistant without calls is gone on with, unless template_kwargs say
/// otherwise by continue_final_message or add_generation_prompt. Of enable_thinking and thinking,
/// names of one thing in different templates, one stands for both.
/// Requires: no problem_in(conversation).
std::variant<Prompt, std::string> make_prompt(const Conversation& conversation,
                                              const ChatTemplate& from, const std::tm& now);

}  // namespace shoal::chat
