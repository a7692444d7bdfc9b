#include "daemon/http/dialects/ollama/chat.hpp"

#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/http/dialects/openai/chat_tools.hpp"

namespace shoal::http::ollama {
namespace {

struct ChatDraft : Generation {
    chat::Conversation conversation;
};

constexpr Field<ChatDraft> kChatFields[] = {
    {"messages", [](const auto& name, const Json& v,
                    auto& d) { return take_messages(name, v, d.conversation); }},
    {"tools", [](const auto& name, const Json& v,
                 auto& d) { return openai::take_tools(name, v, d.conversation); }},
};

Problem take_chat_field(const std::string& name, const Json& value, ChatDraft& draft) {
    if (const auto* field = find_field(kChatFields, name)) return take(*field, name, value, draft);
    Problem problem;
    if (!take_common(name, value, draft, problem)) return unknown_field(name);
    return problem;
}

}  // namespace

std::variant<Generation, ApiError> parse_chat(std::string_view body) {
    Json object;
    if (auto problem = read_json(body, object)) return *std::move(problem);
    ChatDraft draft;
    for (const auto& [name, value] : object.items()) {
        if (auto problem = take_chat_field(name, value, draft)) return *std::move(problem);
    }
    auto problem = draft.conversation.messages.empty()
                       ? use_load(draft)
                       : use_conversation(std::move(draft.conversation), draft);
    if (!problem) problem = check_common(draft, "chat", "messages");
    if (problem) return *std::move(problem);
    return static_cast<Generation&&>(std::move(draft));
}

}  // namespace shoal::http::ollama
