#include "daemon/requests/text_answers.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/engine/chat_prompt.hpp"
#include "daemon/requests/describe.hpp"

namespace shoal {
namespace {

using mesh::messages::DescribeRequest;
using mesh::messages::DetokenizeReply;
using mesh::messages::DetokenizeRequest;
using mesh::messages::ErrorCode;
using mesh::messages::Event;
using mesh::messages::Failed;
using mesh::messages::kMaxPromptTokens;
using mesh::messages::TokenizeReply;
using mesh::messages::TokenizeRequest;

// What a reply's texts may take, as they travel.
constexpr std::size_t kMaxReplyBytes = mesh::messages::kMaxRequestBytes - 4096;

Event tokenize(const OpenModel& model, const TokenizeRequest& request,
               const std::stop_token& stop) {
    const model::Tokenizer& tokenizer = *model.tokenizer;
    TokenizeReply reply;
    if (request.chat.empty()) {
        reply.ids = tokenizer.encode(request.text, {.add_special = request.add_special,
                                                    .parse_special = request.parse_special,
                                                    .max_tokens = kMaxPromptTokens,
                                                    .stop = &stop});
    } else {
        auto prompt = chat_prompt(request.chat, model);
        if (auto* why = std::get_if<std::string>(&prompt)) {
            return Failed{ErrorCode::bad_request, std::move(*why)};
        }
        reply.ids = tokens_of(std::get<0>(prompt), tokenizer, kMaxPromptTokens, stop);
        reply.text = std::move(std::get<0>(prompt).prompt.text);
    }
    if (reply.ids.size() > kMaxPromptTokens) {
        return Failed{ErrorCode::too_large, "the text has at least " +
                                                std::to_string(reply.ids.size()) + " tokens; " +
                                                std::to_string(kMaxPromptTokens) +
                                                " can be answered at one time, send it in parts"};
    }
    // In a message a piece takes its bytes and a few more; a token of few bytes may be spelled by
    // many, as "<unk>" is.
    constexpr std::size_t kBytesOfToken = 10;
    std::size_t bytes = reply.text.size();
    reply.pieces.reserve(reply.ids.size());
    for (const std::int32_t id : reply.ids) {
        const std::string_view piece = tokenizer.text(id);
        bytes += piece.size() + (piece.size() < 32 ? kBytesOfToken - 4 : kBytesOfToken);
        if (bytes > kMaxReplyBytes) {
            return Failed{ErrorCode::too_large, "the tokens' texts take more than " +
                                                    std::to_string(kMaxReplyBytes) +
                                                    " bytes; send it in parts"};
        }
        reply.pieces.emplace_back(piece);
    }
    return reply;
}

Event detokenize(const model::Tokenizer& tokenizer, const DetokenizeRequest& request,
                 const std::stop_token& stop) {
    model::Detokenizer detokenizer(tokenizer, true);
    DetokenizeReply reply;
    for (const std::int32_t id : request.ids) {
        if (stop.stop_requested()) break;
        if (id < 0 || static_cast<std::size_t>(id) >= tokenizer.size()) {
            return Failed{ErrorCode::bad_request, "token id " + std::to_string(id) +
                                                      " is not in 0.." +
                                                      std::to_string(tokenizer.size() - 1)};
        }
        reply.text += detokenizer.push(id);
        if (reply.text.size() > kMaxReplyBytes) {
            return Failed{ErrorCode::too_large, "the text has more than " +
                                                    std::to_string(kMaxReplyBytes) +
                                                    " bytes; send the tokens in parts"};
        }
    }
    reply.text += detokenizer.flush();
    return reply;
}

}  // namespace

bool is_text(const mesh::messages::Request& request) noexcept {
    return std::holds_alternative<TokenizeRequest>(request) ||
           std::holds_alternative<DetokenizeRequest>(request) ||
           std::holds_alternative<DescribeRequest>(request);
}

Event answer_text(const mesh::messages::Request& request, const OpenModel& model,
                  mesh::messages::ModelInfo info, const std::stop_token& stop) {
    if (const auto* text = std::get_if<TokenizeRequest>(&request)) {
        return tokenize(model, *text, stop);
    }
    if (const auto* ids = std::get_if<DetokenizeRequest>(&request)) {
        return detokenize(*model.tokenizer, *ids, stop);
    }
    return describe(model, std::move(info));
}

}  // namespace shoal
