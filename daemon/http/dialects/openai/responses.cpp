#include "daemon/http/dialects/openai/responses.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/http/dialects/openai/chat_tools.hpp"
#include "daemon/http/json_output.hpp"

namespace shoal::http::openai {
namespace {

using chat::Conversation;
using mesh::messages::kMaxLogprobs;

/// What is read before the fields that it depends on are there.
struct ResponseDraft : ResponseRequest {
    KeptTexts* kept = nullptr;
    std::string instructions;
    Json kwargs = Json::object();
    const Json* input = nullptr;
    const Json* tool_choice = nullptr;
    const Json* previous = nullptr;
    bool wants_logprobs = false;
    std::uint32_t top_logprobs = 0;
};

/// Tools stand without the "function" around their members.
Problem take_flat_tools(const std::string& name, const Json& value, ResponseDraft& r) {
    if (!value.is_array()) return wrong(name, value, "an array");
    if (value.size() > chat::kMaxTools) {
        return bad_field(name, fmt::format("there are {} tools; at most {} are allowed",
                                           value.size(), chat::kMaxTools));
    }
    for (std::size_t i = 0; i < value.size(); ++i) {
        const std::string field = fmt::format("{}[{}]", name, i);
        if (!value[i].is_object()) return wrong(field, value[i], "an object");
        if (!given(value[i], "type")) return missing_field(field + ".type");
        if (value[i]["type"] != "function") {
            return wrong(field + ".type", value[i]["type"],
                         "\"function\", as there are no tools of the server's own");
        }
        if (auto problem = take_function(field, value[i], r.conversation.tools.emplace_back())) {
            return problem;
        }
    }
    return {};
}

Problem take_text_form(const std::string& name, const Json& value, ResponseDraft& r) {
    if (auto problem = accept_object(name, value)) return problem;
    for (const auto& [key, member] : value.items()) {
        const std::string full = name + "." + key.substr(0, kQuotedValueBytes);
        if (member.is_null()) continue;
        if (key == "format") {
            if (auto problem = take_format(full, member, false, r.generate.constraint)) {
                return problem;
            }
        } else if (key != "verbosity") {
            return bad_field(full, fmt::format("{} is not supported; leave it out", full));
        } else if (member != "medium") {
            return wrong(full, member, "\"medium\", which alone is supported");
        }
    }
    return {};
}

Problem take_thinking(const std::string& name, const Json& value, ResponseDraft& r) {
    if (auto problem = accept_object(name, value)) return problem;
    for (const auto& [key, member] : value.items()) {
        const std::string full = name + "." + key.substr(0, kQuotedValueBytes);
        if (member.is_null()) continue;
        if (key == "effort") {
            if (auto problem = take_effort(full, member, r.kwargs)) return problem;
        } else if (key == "summary" || key == "generate_summary") {
            if (member != "auto" && member != "concise" && member != "detailed") {
                return wrong(full, member, "\"auto\", \"concise\" or \"detailed\"");
            }
            r.summary = true;
        } else {
            return bad_field(full, fmt::format("{} is not supported; leave it out", full));
        }
    }
    return {};
}

Problem take_max_output(const std::string& name, const Json& value, ResponseDraft& r) {
    if (!value.is_number_unsigned() || value == 0) {
        return wrong(name, value, "an integer from 1");
    }
    return take(name, value, r.generate.max_tokens);
}

Problem take_top_scores(const std::string& name, const Json& value, ResponseDraft& r) {
    if (!value.is_number_unsigned() || value > kMaxLogprobs - 1) {
        return wrong(name, value, fmt::format("an integer from 0 to {}", kMaxLogprobs - 1));
    }
    r.wants_logprobs = r.wants_logprobs || value != 0;
    return take(name, value, r.top_logprobs);
}

Problem take_include(const std::string& name, const Json& value, ResponseDraft& r) {
    if (!value.is_array()) return wrong(name, value, "an array of strings");
    for (const Json& one : value) {
        if (one == "message.output_text.logprobs") {
            r.wants_logprobs = true;
        } else if (one != "reasoning.encrypted_content") {
            // Reasoning is told in clear and can be sent back so.
            return bad_field(name, fmt::format("{} has {}; supported are "
                                               "\"message.output_text.logprobs\" and "
                                               "\"reasoning.encrypted_content\"",
                                               name, quoted(one)));
        }
    }
    return {};
}

Problem only_false(const std::string& name, const Json& value, ResponseDraft&) {
    if (value == false) return {};
    return wrong(name, value, "false, which alone is supported");
}

Problem take_truncation(const std::string& name, const Json& value, ResponseDraft&) {
    if (value == "disabled") return {};
    return wrong(name, value, "\"disabled\", which alone is supported");
}

Problem take_obfuscation(const std::string& name, const Json& value, ResponseDraft&) {
    if (auto problem = accept_object(name, value)) return problem;
    for (const auto& [key, member] : value.items()) {
        const std::string full = name + "." + key.substr(0, kQuotedValueBytes);
        if (key != "include_obfuscation") {
            return bad_field(full, fmt::format("{} is not supported; leave it out", full));
        }
        if (auto problem = accept_bool(full, member)) return problem;
    }
    return {};
}

constexpr Field<ResponseDraft> kResponseFields[] = {
    {"model",
     [](const auto& name, const Json& v, auto& r) { return take(name, v, r.generate.model); }},
    {"input", [](const auto&, const Json& v, auto& r) { return r.input = &v, Problem{}; }},
    {"instructions",
     [](const auto& name, const Json& v, auto& r) { return take(name, v, r.instructions); }},
    {"previous_response_id",
     [](const auto&, const Json& v, auto& r) { return r.previous = &v, Problem{}; }},
    {"tools", take_flat_tools},
    {"tool_choice",
     [](const auto&, const Json& v, auto& r) { return r.tool_choice = &v, Problem{}; }},
    {"parallel_tool_calls",
     [](const auto& name, const Json& v, auto& r) {
         return take(name, v, r.conversation.parallel_tool_calls);
     }},
    {"text", take_text_form},
    {"reasoning", take_thinking},
    {"max_output_tokens", take_max_output},
    {"top_logprobs", take_top_scores},
    {"include", take_include},
    {"stream", [](const auto& name, const Json& v, auto& r) { return take(name, v, r.stream); }},
    {"stream_options", take_obfuscation},
    {"store", [](const auto& name, const Json& v, auto& r) { return take(name, v, r.store); }},
    {"background", only_false},
    {"truncation", take_truncation},
    // Of tools that the server has itself, of which there are none.
    {"max_tool_calls",
     [](const auto& name, const Json& v, auto&) {
         std::uint32_t ignored = 0;
         return take(name, v, ignored);
     }},
};

Problem take_response_field(const std::string& name, const Json& value, ResponseDraft& r) {
    if (const auto* field = find_field(kResponseFields, name)) return take(*field, name, value, r);
    if (const auto* field = sampling_field(name)) return take<Sampled>(*field, name, value, r);
    Problem problem;
    if (!take_ignored(name, value, problem)) return unknown_field(name);
    return problem;
}

/// The conversation that goes on.
Problem take_previous(ResponseDraft& r) {
    const std::string name = "previous_response_id";
    std::string id;
    if (auto problem = take(name, *r.previous, id)) return problem;
    const auto kept = find_response(r.kept, id);
    auto conversation = kept ? conversation_of(*kept) : std::nullopt;
    if (!conversation) {
        return ApiError{400, "previous_response_not_found",
                        fmt::format("there is no response \"{}\" here: it was not stored, was "
                                    "given up for later ones or came from another device; send "
                                    "the whole conversation as input",
                                    id.substr(0, kQuotedBytes)),
                        name};
    }
    r.conversation.messages = std::move(conversation->messages);
    return {};
}

Problem check_input(ResponseDraft& r) {
    if (r.previous != nullptr) {
        if (auto problem = take_previous(r)) return problem;
    }
    if (auto problem = take_input("input", *r.input, r.kept, r.conversation)) return problem;
    if (r.tool_choice != nullptr) {
        if (auto problem = take_tool_choice("tool_choice", *r.tool_choice, false, r.conversation)) {
            return problem;
        }
    }
    if (!r.kwargs.empty()) r.conversation.template_kwargs = dump(r.kwargs);
    Conversation whole = r.conversation;
    if (!r.instructions.empty()) {
        chat::Message message;
        message.role = "system";
        message.content = r.instructions;
        whole.messages.insert(whole.messages.begin(), std::move(message));
    }
    if (auto problem = check_conversation(whole)) return problem;
    r.generate.chat = to_json(whole);
    return {};
}

/// The fields as they came, or their defaults.
std::shared_ptr<Json> repeated_of(const Json& object, const ResponseDraft& r) {
    const auto as_given = [&](const char* name, Json otherwise) {
        return given(object, name) ? object[name] : std::move(otherwise);
    };
    const auto& sampling = r.generate.sampling;
    Json none;
    return std::make_shared<Json>(
        Json{{"instructions", as_given("instructions", none)},
             {"max_output_tokens", as_given("max_output_tokens", none)},
             {"metadata", as_given("metadata", Json::object())},
             {"parallel_tool_calls", r.conversation.parallel_tool_calls},
             {"previous_response_id", as_given("previous_response_id", none)},
             {"reasoning", as_given("reasoning", {{"effort", nullptr}, {"summary", nullptr}})},
             {"store", r.store},
             {"temperature", as_given("temperature", sampling.temperature)},
             {"text", as_given("text", {{"format", {{"type", "text"}}}})},
             {"tool_choice", as_given("tool_choice", "auto")},
             {"tools", as_given("tools", Json::array())},
             {"top_logprobs", r.top_logprobs},
             {"top_p", as_given("top_p", sampling.top_p)},
             {"truncation", "disabled"},
             {"user", as_given("user", none)}});
}

}  // namespace

std::variant<ResponseRequest, ApiError> parse_response(std::string_view body, KeptTexts* kept) {
    Json object;
    if (auto problem = read_json(body, object)) return *std::move(problem);
    ResponseDraft draft;
    draft.kept = kept;
    for (const auto& [name, value] : object.items()) {
        if (auto problem = take_response_field(name, value, draft)) return *std::move(problem);
    }
    if (draft.input == nullptr) return missing_field("input");
    if (given(object, "stream_options") && !draft.stream) {
        return bad_field("stream_options", "stream_options is for requests with \"stream\": true");
    }
    if (auto problem = check_input(draft)) return *std::move(problem);
    if (draft.wants_logprobs) draft.generate.logprobs = 1 + draft.top_logprobs;
    draft.repeated = repeated_of(object, draft);
    settle(draft);
    if (auto problem = refused(draft.generate, "chat", "input")) return *std::move(problem);
    return static_cast<ResponseRequest&&>(std::move(draft));
}

void keep_response(KeptTexts& kept, const Json& response, const Conversation& conversation) {
    const auto& id = response["id"].get_ref<const std::string&>();
    kept.put(id, dump({{"response", dump(response)}, {"conversation", to_json(conversation)}}));
    for (const Json& item : response["output"]) kept.put(item["id"].get<std::string>(), id);
}

std::optional<std::string> find_response(KeptTexts* kept, std::string_view id) {
    if (kept == nullptr || !id.starts_with(kResponsePrefix)) return std::nullopt;
    return kept->get(id);
}

std::optional<Json> find_item(KeptTexts* kept, std::string_view id) {
    if (kept == nullptr || id.starts_with(kResponsePrefix)) return std::nullopt;
    const auto response = kept->get(id);
    const auto text = response ? find_response(kept, *response) : std::nullopt;
    if (!text) return std::nullopt;
    const Json whole = Json::parse(response_of(*text));
    for (const Json& item : whole["output"]) {
        if (item["id"] == id) return item;
    }
    return std::nullopt;
}

std::string response_of(const std::string& kept) {
    return Json::parse(kept)["response"].get<std::string>();
}

std::optional<Conversation> conversation_of(const std::string& kept) {
    auto parsed = chat::parse_conversation(Json::parse(kept)["conversation"].get<std::string>());
    auto* conversation = std::get_if<Conversation>(&parsed);
    if (conversation == nullptr) return std::nullopt;
    return std::move(*conversation);
}

}  // namespace shoal::http::openai
