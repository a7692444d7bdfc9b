#include "daemon/http/dialects/openai/logprobs.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

namespace shoal::http::openai {

using mesh::messages::PromptTokens;
using mesh::messages::TokenScore;

namespace {

constexpr double kImpossible = -9999;

Json score_json(const TokenScore& score) {
    Json bytes = Json::array();
    for (const char c : score.text) bytes.push_back(static_cast<unsigned char>(c));
    return {{"token", score.text},
            {"logprob", finite_logprob(score.logprob)},
            {"bytes", std::move(bytes)}};
}

}  // namespace

double finite_logprob(float logprob) noexcept {
    return std::isfinite(logprob) ? logprob : kImpossible;
}

std::size_t characters(std::string_view text) noexcept {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xC0) != 0x80;  // No continuation.
    }));
}

void TextLogprobs::add(const std::vector<TokenScore>& scores, std::size_t offset) {
    tokens_.push_back({scores.front().text, scores, offset});
}

void TextLogprobs::add_prompt(const std::vector<PromptTokens::Entry>& tokens, std::size_t before) {
    std::size_t offset = 0;
    for (const auto& entry : tokens) {
        tokens_.push_back({entry.text, entry.scores, offset});
        const std::size_t skipped = std::min(before, entry.text.size());
        before -= skipped;
        offset += characters(std::string_view(entry.text).substr(skipped));
    }
}

Json TextLogprobs::json() const {
    Json tokens = Json::array(), logprobs = Json::array(), tops = Json::array(),
         offsets = Json::array();
    for (const Entry& entry : tokens_) {
        tokens.push_back(entry.token);
        offsets.push_back(entry.offset);
        if (entry.scores.empty()) {
            logprobs.push_back(nullptr);
            tops.push_back(nullptr);
            continue;
        }
        logprobs.push_back(finite_logprob(entry.scores.front().logprob));
        // The likeliest, and the token itself. Different tokens may have one text.
        Json top = Json::object();
        for (std::size_t i = 1; i < entry.scores.size(); ++i) {
            top.emplace(entry.scores[i].text, finite_logprob(entry.scores[i].logprob));
        }
        top.emplace(entry.token, finite_logprob(entry.scores.front().logprob));
        tops.push_back(std::move(top));
    }
    return {{"tokens", std::move(tokens)},
            {"token_logprobs", std::move(logprobs)},
            {"top_logprobs", std::move(tops)},
            {"text_offset", std::move(offsets)}};
}

Json chat_logprob(const std::vector<TokenScore>& scores) {
    Json out = score_json(scores.front());
    Json& others = out["top_logprobs"] = Json::array();
    for (std::size_t i = 1; i < scores.size(); ++i) others.push_back(score_json(scores[i]));
    return out;
}

}  // namespace shoal::http::openai
