#include "daemon/engine/answer_stream.hpp"

#include <algorithm>
#include <memory>
#include <utility>

namespace shoal {
namespace {

using chat::EventKind;

TextStream::Shows shows(const std::optional<AnswerStream::Chat>& chat) {
    if (!chat) return {};
    return [format = chat->format](std::string_view token) { return format.renders(token); };
}

// SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
std::uint64_t mixed(std::uint64_t x) noexcept {
    x += 0x9E3779B97F4A7C15U;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
    return x ^ (x >> 31);
}

}  // namespace

AnswerStream::AnswerStream(const model::Tokenizer& tokenizer, std::vector<std::string> stop,
                           std::optional<Chat> chat)
    : text_(tokenizer, std::move(stop), shows(chat)) {
    if (chat) reader_.emplace(std::move(chat->format), chat->options);
}

AnswerPart AnswerStream::push(model::TokenId id) {
    AnswerPart part;
    std::string text = text_.push(id);
    if (!reader_) {
        part.text = std::move(text);
    } else {
        add(part, reader_->feed(text));
        if (!part.reasoning.empty()) ++reasoning_tokens_;
    }
    return part;
}

AnswerPart AnswerStream::finish(bool by_model) {
    AnswerPart part;
    std::string text = text_.finish();
    if (!reader_) {
        part.text = std::move(text);
        return part;
    }
    if (!reader_->stopped()) add(part, reader_->feed(text));
    add(part, reader_->finish(by_model ? chat::Ending::by_model : chat::Ending::cut_off));
    return part;
}

void AnswerStream::add(AnswerPart& part, std::vector<chat::AnswerEvent> events) {
    for (chat::AnswerEvent& event : events) {
        switch (event.kind) {
            case EventKind::content:
                part.text += event.text;
                break;
            case EventKind::reasoning:
                part.reasoning += event.text;
                break;
            case EventKind::call_begin:
                call_ = {std::move(event.id), std::move(event.name), ""};
                break;
            case EventKind::call_arguments:
                call_.arguments += event.text;
                break;
            case EventKind::call_end:
                part.calls.push_back(std::exchange(call_, {}));
                break;
        }
    }
}

AnswerStream::Chat chat_answers(const ChatPrompt& prompt, std::uint64_t seed) {
    const chat::Conversation& conversation = prompt.conversation;
    AnswerStream::Chat out;
    out.format = chat::detect(prompt.from.source);
    out.options.calls = !conversation.tools.empty() &&
                        conversation.tool_choice.kind != chat::ToolChoice::Kind::none;
    out.options.tools = conversation.tools;
    out.options.parallel_calls = conversation.parallel_tool_calls;
    out.options.prompt_end = prompt.prompt.open_end();
    // Each reader has its own: a generation that is replayed makes the same ids.
    out.options.random = [state = std::make_shared<std::uint64_t>(seed)] {
        return mixed((*state)++);
    };
    return out;
}

}  // namespace shoal
