// POST /api/generate: the body as the service's request.
#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/http/dialects/ollama/chat.hpp"

namespace shoal::http::ollama {
namespace {

struct PromptDraft : Generation {
    std::string prompt, suffix, system;
    bool raw = false;
};

Problem refuse_template(const std::string& name, const Json& value, PromptDraft&) {
    if (value == "") return {};
    return bad_field(name,
                     "template is not supported: the model's own is used; with \"raw\": true the "
                     "prompt is taken as it is");
}

Problem refuse_context(const std::string& name, const Json& value, PromptDraft&) {
    if (value.is_array() && value.empty()) return {};
    return bad_field(name, "context is not supported; send the conversation to /api/chat");
}

constexpr Field<PromptDraft> kPromptFields[] = {
    {"prompt", [](const auto& name, const Json& v, auto& d) { return take(name, v, d.prompt); }},
    {"suffix", [](const auto& name, const Json& v, auto& d) { return take(name, v, d.suffix); }},
    {"system", [](const auto& name, const Json& v, auto& d) { return take(name, v, d.system); }},
    {"raw", [](const auto& name, const Json& v, auto& d) { return take(name, v, d.raw); }},
    {"images", [](const auto& name, const Json& v, auto&) { return refuse_images(name, v); }},
    {"template", refuse_template},
    {"context", refuse_context},
};

Problem take_prompt_field(const std::string& name, const Json& value, PromptDraft& draft) {
    if (const auto* field = find_field(kPromptFields, name))
        return take(*field, name, value, draft);
    Problem problem;
    if (!take_common(name, value, draft, problem)) return unknown_field(name);
    return problem;
}

/// The prompt as it is, or as the only question of a conversation.
Problem use_prompt(PromptDraft& draft) {
    if (draft.raw || !draft.suffix.empty()) {
        if (!draft.system.empty()) {
            return bad_field("system",
                             "system is for prompts that the model's template makes: without "
                             "\"raw\" and suffix");
        }
        draft.generate.prompt = std::move(draft.prompt);
        draft.generate.suffix = std::move(draft.suffix);
        return {};
    }
    chat::Conversation conversation;
    const auto say = [&](const char* role, std::string& text) {
        chat::Message& message = conversation.messages.emplace_back();
        message.role = role;
        message.content = std::move(text);
    };
    if (!draft.system.empty()) say("system", draft.system);
    say("user", draft.prompt);
    return use_conversation(std::move(conversation), draft);
}

}  // namespace

std::variant<Generation, ApiError> parse_generate(std::string_view body) {
    Json object;
    if (auto problem = read_json(body, object)) return *std::move(problem);
    PromptDraft draft;
    for (const auto& [name, value] : object.items()) {
        if (auto problem = take_prompt_field(name, value, draft)) return *std::move(problem);
    }
    const bool nothing = draft.prompt.empty() && draft.suffix.empty();
    auto problem = nothing ? use_load(draft) : use_prompt(draft);
    if (!problem) problem = check_common(draft, "chat", "prompt");
    if (problem) return *std::move(problem);
    return static_cast<Generation&&>(std::move(draft));
}

}  // namespace shoal::http::ollama
