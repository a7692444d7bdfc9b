#include "daemon/engine/chat_prompt.hpp"

#include <ctime>
#include <mutex>
#include <optional>
#include <utility>

#include "daemon/chat/answer_format.hpp"
#include "daemon/log/log.hpp"

namespace shoal {
namespace {

constexpr std::string_view kKey = "tokenizer.chat_template";

std::string text_of(const model::Tokenizer& tokenizer, std::optional<model::TokenId> id) {
    return id ? std::string(tokenizer.text(*id)) : std::string();
}

// The name of the key that holds the template; empty: none does.
std::string key_of(const model::GgufHeader& header, bool tools) {
    // A file with several names them in tokenizer.chat_templates, and has each in a key of its own.
    const std::string named = std::string(kKey) + ".tool_use";
    if (tools && header.find(named) != nullptr) return named;
    if (header.find(kKey) != nullptr) return std::string(kKey);
    const std::string usual = std::string(kKey) + ".default";
    return header.find(usual) != nullptr ? usual : "";
}

}  // namespace

bool has_template(const model::GgufHeader& header) {
    return !key_of(header, false).empty();
}

chat::ChatTemplate template_of(const model::GgufHeader& header, const model::Tokenizer& tokenizer,
                               bool tools) {
    chat::ChatTemplate out;
    out.bos = text_of(tokenizer, tokenizer.bos());
    out.eos = text_of(tokenizer, tokenizer.eos());
    const std::string key = key_of(header, tools);
    if (key.empty()) {
        out.name = "the built-in chat template";
        out.source = chat::built_in_template();
    } else {
        out.name = key + " of " + header.name();
        out.source = header.get_string(key);
    }
    return out;
}

std::variant<ChatPrompt, std::string> chat_prompt(std::string_view json, const OpenModel& model) {
    const model::GgufHeader& header = model.source->header();
    if (!has_template(header)) {
        std::call_once(model.built_in_told, [&model] {
            log::warn(
                "{} has no chat template: ChatML is taken, which a model that was not made "
                "for chats will not know",
                model.name);
        });
    }
    auto conversation = chat::parse_conversation(json);
    if (auto* problem = std::get_if<std::string>(&conversation)) return std::move(*problem);
    ChatPrompt out;
    out.conversation = std::get<chat::Conversation>(std::move(conversation));
    out.from = template_of(header, *model.tokenizer, !out.conversation.tools.empty());
    out.from.parsed = model.templates.of(out.from.source, out.from.name);
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    auto prompt = chat::make_prompt(out.conversation, out.from, local);
    if (auto* problem = std::get_if<std::string>(&prompt)) return std::move(*problem);
    out.prompt = std::get<chat::Prompt>(std::move(prompt));
    return out;
}

std::string end_of_reasoning(const ChatPrompt& prompt) {
    return chat::detect(prompt.from.source).end_of_reasoning(prompt.prompt.open_end());
}

void end_reasoning(ChatPrompt& prompt) {
    prompt.prompt.append(end_of_reasoning(prompt), false);
}

std::vector<model::TokenId> tokens_of(const ChatPrompt& prompt, const model::Tokenizer& tokenizer,
                                      std::size_t max_tokens, const std::stop_token& stop) {
    std::vector<model::Tokenizer::Span> spans;
    spans.reserve(prompt.prompt.stretches.size());
    for (const chat::Stretch& stretch : prompt.prompt.stretches) {
        spans.push_back({stretch.bytes, stretch.literal});
    }
    model::Tokenizer::EncodeOptions options;
    options.max_tokens = max_tokens;
    options.stop = &stop;
    options.spans = spans;
    options.markup = prompt.from.source;
    options.open_end = true;
    return tokenizer.encode(prompt.prompt.text, options);
}

}  // namespace shoal
