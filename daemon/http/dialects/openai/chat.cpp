#include "daemon/http/dialects/openai/chat.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "daemon/http/dialects/openai/chat_messages.hpp"
#include "daemon/http/dialects/openai/chat_tools.hpp"
#include "daemon/http/json_output.hpp"

namespace shoal::http::openai {
namespace {

using mesh::messages::Constraint;
using mesh::messages::Generate;

constexpr std::uint32_t kMaxTopLogprobs = mesh::messages::kMaxLogprobs - 1;

/// What is read before the fields that it depends on are there.
struct ChatDraft : ChatRequest {
    chat::Conversation conversation;
    Json kwargs = Json::object();  ///< for the template, of fields that OpenAI has or others have
    Json own_kwargs;               ///< chat_template_kwargs, which go before
    const Json* tool_choice = nullptr;
    const Json* format = nullptr;
    const Json* grammar = nullptr;
    std::optional<std::uint32_t> max_tokens, max_completion_tokens;
    bool logprobs = false;
    std::optional<std::uint32_t> top_logprobs;
};

Problem take_limit(const std::string& name, const Json& value, std::optional<std::uint32_t>& out) {
    out = 0;
    if (value == -1) return {};
    if (!value.is_number_unsigned() || value == 0) {
        return wrong(name, value, "an integer from 1, or -1: until the model ends");
    }
    return take(name, value, *out);
}

Problem take_top_logprobs(const std::string& name, const Json& value, ChatDraft& r) {
    if (!value.is_number_unsigned() || value > kMaxTopLogprobs) {
        return wrong(name, value, fmt::format("an integer from 0 to {}", kMaxTopLogprobs));
    }
    return take(name, value, r.top_logprobs.emplace());
}

Problem take_think(const std::string& name, const Json& value, ChatDraft& r) {
    if (value.is_string()) return take_effort(name, value, r.kwargs);
    bool thinks = false;
    if (auto problem = take(name, value, thinks)) return problem;
    r.kwargs["enable_thinking"] = thinks;
    return {};
}

Problem take_own_kwargs(const std::string& name, const Json& value, ChatDraft& r) {
    if (auto problem = accept_object(name, value)) return problem;
    for (const char* taken : {"messages", "tools", "tool_choice", "parallel_tool_calls"}) {
        if (!value.contains(taken)) continue;
        return bad_field(name, fmt::format("{} has \"{}\", which is a field of the request itself",
                                           name, taken));
    }
    r.own_kwargs = value;
    return {};
}

/// A field of which one value alone is what happens anyway.
template <const char* kOnly>
Problem take_only(const std::string& name, const Json& value, ChatDraft&) {
    if (value == Json::parse(kOnly)) return {};
    return wrong(name, value, fmt::format("{}, which alone is supported", kOnly));
}
constexpr char kTextAlone[] = R"(["text"])";
constexpr char kMedium[] = R"("medium")";

Problem use_tools(const std::string& name, const Json&, ChatDraft&) {
    return bad_field(name,
                     fmt::format("{} is what tools and tool_choice were before; use these", name));
}

/// A variable of the template that decides how its prompt ends.
Problem take_ending(const std::string& name, const Json& value, ChatDraft& r) {
    if (auto problem = accept_bool(name, value)) return problem;
    r.kwargs[name] = value;
    return {};
}

constexpr Field<ChatDraft> kChatFields[] = {
    {"messages",
     [](const auto& name, const Json& v, auto& r) {
         return take_messages(name, v, r.conversation);
     },
     false},
    {"tools",
     [](const auto& name, const Json& v, auto& r) { return take_tools(name, v, r.conversation); }},
    {"tool_choice",
     [](const auto&, const Json& v, auto& r) { return r.tool_choice = &v, Problem{}; }},
    {"parallel_tool_calls",
     [](const auto& name, const Json& v, auto& r) {
         return take(name, v, r.conversation.parallel_tool_calls);
     }},
    {"response_format",
     [](const auto&, const Json& v, auto& r) { return r.format = &v, Problem{}; }},
    {"grammar", [](const auto&, const Json& v, auto& r) { return r.grammar = &v, Problem{}; }},
    {"max_tokens",
     [](const auto& name, const Json& v, auto& r) { return take_limit(name, v, r.max_tokens); }},
    {"max_completion_tokens", [](const auto& name, const Json& v,
                                 auto& r) { return take_limit(name, v, r.max_completion_tokens); }},
    {"logprobs",
     [](const auto& name, const Json& v, auto& r) { return take(name, v, r.logprobs); }},
    {"top_logprobs", take_top_logprobs},
    {"reasoning_effort",
     [](const auto& name, const Json& v, auto& r) { return take_effort(name, v, r.kwargs); }},
    {"think", take_think},
    {"continue_final_message", take_ending},
    {"add_generation_prompt", take_ending},
    {"chat_template_kwargs", take_own_kwargs},
    {"modalities", take_only<kTextAlone>},
    {"verbosity", take_only<kMedium>},
    // A guess of the answer, by which OpenAI's servers are faster.
    {"prediction", [](const auto& name, const Json& v, auto&) { return accept_object(name, v); }},
    {"functions", use_tools},
    {"function_call", use_tools},
};

Problem take_chat_field(const std::string& name, const Json& value, ChatDraft& r) {
    if (const auto* field = find_field(kChatFields, name)) return take(*field, name, value, r);
    Problem problem;
    if (!take_common(name, value, r, problem)) return unknown_field(name);
    return problem;
}

Problem check_limits(ChatDraft& r) {
    if (r.max_tokens && r.max_completion_tokens && *r.max_tokens != *r.max_completion_tokens) {
        return bad_field("max_tokens",
                         "max_tokens and max_completion_tokens differ; they mean the same, give "
                         "one");
    }
    r.generate.max_tokens = r.max_completion_tokens.value_or(r.max_tokens.value_or(0));
    if (r.top_logprobs && !r.logprobs) {
        return bad_field("top_logprobs", "top_logprobs is for requests with \"logprobs\": true");
    }
    if (r.logprobs) r.generate.logprobs = 1 + r.top_logprobs.value_or(0);
    return {};
}

Problem check_form(ChatDraft& r) {
    Constraint& constraint = r.generate.constraint;
    if (r.format != nullptr) {
        if (auto problem = take_constraint("response_format", *r.format, constraint)) {
            return problem;
        }
    }
    return r.grammar != nullptr ? take_constraint("grammar", *r.grammar, constraint) : Problem{};
}

/// Makes the conversation of its parts.
Problem check_chat(ChatDraft& r) {
    if (r.tool_choice != nullptr) {
        if (auto problem = take_tool_choice("tool_choice", *r.tool_choice, true, r.conversation)) {
            return problem;
        }
    }
    r.kwargs.update(r.own_kwargs.is_object() ? r.own_kwargs : Json::object());
    if (!r.kwargs.empty()) r.conversation.template_kwargs = dump(r.kwargs);
    if (auto problem = check_conversation(r.conversation)) return problem;
    r.generate.chat = to_json(r.conversation);
    return {};
}

}  // namespace

Generate ChatRequest::choice(std::size_t index) const {
    Generate request = generate;
    request.sampling.seed += index;
    return request;
}

std::variant<ChatRequest, ApiError> parse_chat(std::string_view body) {
    Json object;
    if (auto problem = read_json(body, object)) return *std::move(problem);
    ChatDraft draft;
    for (const auto& [name, value] : object.items()) {
        if (auto problem = take_chat_field(name, value, draft)) return *std::move(problem);
    }
    if (!object.contains("messages")) return missing_field("messages");
    for (const auto check : {check_limits, check_form, check_chat}) {
        if (auto problem = check(draft)) return *std::move(problem);
    }
    if (auto problem = check_common(object, draft)) return *std::move(problem);
    if (auto problem = refused(draft.choice(0), "chat", "messages")) return *std::move(problem);
    return static_cast<ChatRequest&&>(std::move(draft));
}

}  // namespace shoal::http::openai
