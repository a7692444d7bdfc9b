// From tokens to what a user sees of an answer: text, and of a chat reasoning and tool calls apart.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/chat/answer_reader.hpp"
#include "daemon/engine/chat_prompt.hpp"
#include "daemon/engine/text_stream.hpp"
#include "daemon/model/tokenizer.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal {

/// What an answer says more.
struct AnswerPart {
    std::string text, reasoning;
    std::vector<mesh::messages::ToolCall> calls;
};

/// Deterministic in the tokens pushed, ids of calls among it: a generation that moves replays its
/// tokens here. Owned by one thread.
class AnswerStream {
  public:
    /// How an answer of a chat is read.
    struct Chat {
        chat::AnswerFormat format;
        chat::ReaderOptions options;
    };

    /// The tokenizer outlives it. Without `chat` all is text.
    AnswerStream(const model::Tokenizer& tokenizer, std::vector<std::string> stop,
                 std::optional<Chat> chat);

    AnswerPart push(model::TokenId id);
    /// A stop string was found; nothing more is to be pushed.
    bool stopped() const noexcept { return text_.stopped(); }
    const std::string& stopped_by() const noexcept { return text_.stopped_by(); }
    /// The model has ended its turn by a mark of its own; nothing more is to be pushed.
    bool ended() const noexcept { return reader_ && reader_->stopped(); }
    /// What was held back, at the end. `by_model`: the model or a stop string ended it.
    AnswerPart finish(bool by_model);

    /// Tokens that were reasoning.
    std::uint32_t reasoning_tokens() const noexcept { return reasoning_tokens_; }

  private:
    void add(AnswerPart& part, std::vector<chat::AnswerEvent> events);

    TextStream text_;
    std::optional<chat::AnswerReader> reader_;
    mesh::messages::ToolCall call_;  // that is being told
    std::uint32_t reasoning_tokens_ = 0;
};

/// How answers to a conversation are read. `seed` makes the ids of calls.
AnswerStream::Chat chat_answers(const ChatPrompt& prompt, std::uint64_t seed);

}  // namespace shoal
