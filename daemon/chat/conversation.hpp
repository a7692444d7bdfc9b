// A conversation as every dialect of the API has it, and as chat templates want it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "daemon/chat/tools.hpp"

namespace shoal::chat {

inline constexpr std::size_t kMaxMessages = 65'536;
inline constexpr std::size_t kMaxTools = 1'024;
inline constexpr std::size_t kMaxCallsInMessage = 1'024;
/// All texts together, and the JSON that is read.
inline constexpr std::size_t kMaxConversationBytes = std::size_t{16} << 20;

struct Message {
    std::string role;
    std::string content;    ///< parts of text joined
    std::string reasoning;  ///< of an assistant's message
    std::vector<Call> tool_calls;
    std::string tool_call_id;  ///< of a tool's message: whose result it is
    std::string name;          ///< of a tool's message: the tool's
};

struct ToolChoice {
    enum class Kind { automatic, none, required, named };
    Kind kind = Kind::automatic;
    std::string name;  ///< Kind::named
};

struct Conversation {
    std::vector<Message> messages;
    std::vector<Tool> tools;
    ToolChoice tool_choice;
    bool parallel_tool_calls = true;
    /// More variables for the template, a JSON object: enable_thinking, reasoning_effort...
    std::string template_kwargs;
};

/// The first thing that breaks a limit or is not the JSON that it should be: "messages[3].content
/// ..." and what to do. nullopt: none.
std::optional<std::string> problem_in(const Conversation& conversation);

/// A tool as OpenAI's API and chat templates have it. The schema keeps its text.
std::string tool_json(const Tool& tool);

/// The variables of a chat template as one JSON object: `messages` in the form of OpenAI's API as
/// Hugging Face's templates take it, so a call's arguments are an object and missing content is
/// an empty text; `tools` unless there are none or the choice forbids them; `tool_choice` and
/// `parallel_tool_calls` when they say something; then template_kwargs.
/// Arguments and schemas keep their text. Requires: no problem_in(conversation).
std::string to_json(const Conversation& conversation);

/// Reads what to_json() writes; also content as a list of text parts, arguments as a string,
/// `reasoning` for `reasoning_content`. Members of the object that are none of its own are
/// template_kwargs. Returns the conversation, or what is wrong with it, as problem_in().
std::variant<Conversation, std::string> parse_conversation(std::string_view json);

}  // namespace shoal::chat
