// POST /v1/completions: the service's events as its answer.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "daemon/http/dialects/openai/completions.hpp"
#include "daemon/http/dialects/openai/generation_exchange.hpp"
#include "daemon/http/dialects/openai/logprobs.hpp"
#include "daemon/http/json_output.hpp"
#include "daemon/http/sse.hpp"

namespace shoal::http::openai {
namespace {

using namespace mesh::messages;

Json completion_object(const Head& head) {
    return {{"id", head.id},
            {"object", "text_completion"},
            {"created", head.created},
            {"model", head.model},
            {"system_fingerprint", kSystemFingerprint}};
}

Json completion_choice(std::size_t index, const std::string& text, Json logprobs, Json reason) {
    return {{"index", index},
            {"text", text},
            {"logprobs", std::move(logprobs)},
            {"finish_reason", std::move(reason)}};
}

/// What both forms of answer have. A text is what is made of a prompt; it begins with the prompt
/// if that is to be echoed.
class Completion : public GenerationExchange {
  public:
    explicit Completion(CompletionRequest asked)
        : GenerationExchange(head_of("cmpl-", asked), asked.best_of),
          asked_(std::move(asked)),
          begun_(parts()),
          offsets_(parts()) {}

    std::size_t parts() const noexcept override { return asked_.texts(); }
    Request request(std::size_t part) const override { return asked_.text(part); }

  protected:
    const CompletionRequest& asked() const noexcept { return asked_; }
    std::string prompt(std::size_t part, const PromptTokens& event) override {
        auto& tokens = begun_[part].tokens;
        tokens.insert(tokens.end(), event.tokens.begin(), event.tokens.end());
        return {};
    }

    struct Echo {
        std::string text;
        TextLogprobs logprobs;
    };
    /// What a part's text begins with; nothing the second time.
    Echo echo(std::size_t part) {
        if (!asked_.echo || begun_[part].echoed) return {};
        begun_[part].echoed = true;
        const auto tokens = std::exchange(begun_[part].tokens, {});
        Echo out;
        std::string joined;
        for (const auto& entry : tokens) joined += entry.text;
        out.text = asked_.prompts[part / asked_.best_of].text;
        // The begin token, and what a tokenizer puts before words, is not of the text.
        if (out.text.empty() || !joined.ends_with(out.text)) {
            if (!joined.empty()) out.text = joined;
        }
        const std::size_t before = joined.size() - std::min(joined.size(), out.text.size());
        if (asked_.logprobs) out.logprobs.add_prompt(tokens, before);
        offsets_[part] = characters(out.text);
        return out;
    }
    /// A token's score, if it is wanted.
    void add_score(std::size_t part, const Token& token, TextLogprobs& out) {
        if (!asked_.logprobs || token.scores.empty()) return;
        out.add(token.scores, offsets_[part]);
        offsets_[part] += characters(token.scores.front().text);
    }

  private:
    struct Begun {
        std::vector<PromptTokens::Entry> tokens;
        bool echoed = false;
    };

    const CompletionRequest asked_;
    std::vector<Begun> begun_;
    std::vector<std::size_t> offsets_;  ///< characters so far
};

class WholeCompletion : public Completion {
  public:
    explicit WholeCompletion(CompletionRequest asked)
        : Completion(std::move(asked)), texts_(parts()) {}

    Answer end() override {
        Json out = completion_object(head());
        Json& list = out["choices"] = Json::array();
        for (std::size_t first = 0; first < texts_.size(); first += asked().best_of) {
            choose(first);
            for (std::size_t i = 0; i < asked().n; ++i) {
                Text& text = texts_[first + i];
                list.push_back(completion_choice(list.size(), text.text,
                                                 asked().logprobs ? text.logprobs.json() : Json(),
                                                 finish_reason(text.reason)));
            }
        }
        out["usage"] = usage(total());
        out["timings"] = timings(total());
        return {200, dump(out)};
    }

  private:
    struct Text {
        std::string text;
        TextLogprobs logprobs;
        StopReason reason = StopReason::end;
        double logprob_sum = 0;
        std::size_t tokens = 0;

        double mean_logprob() const noexcept {
            return tokens == 0 ? 0 : logprob_sum / static_cast<double>(tokens);
        }
    };

    void begin(std::size_t part) {
        Echo begun = echo(part);
        if (begun.text.empty() && begun.logprobs.empty()) return;
        texts_[part].text = std::move(begun.text);
        texts_[part].logprobs = std::move(begun.logprobs);
    }
    std::string token(std::size_t part, const Token& token) override {
        begin(part);
        Text& text = texts_[part];
        text.text += token.text;
        add_score(part, token, text.logprobs);
        if (!token.scores.empty()) {
            text.logprob_sum += finite_logprob(token.scores.front().logprob);
            ++text.tokens;
        }
        return {};
    }
    std::string over(std::size_t part, const Done& done) override {
        begin(part);
        texts_[part].text += done.text;
        texts_[part].reason = done.reason;
        return {};
    }
    /// The likeliest of a prompt's texts come first.
    void choose(std::size_t first) {
        if (!asked().chooses()) return;
        const auto begin = texts_.begin() + static_cast<std::ptrdiff_t>(first);
        std::stable_sort(begin, begin + asked().best_of, [](const Text& a, const Text& b) {
            return a.mean_logprob() > b.mean_logprob();
        });
    }

    std::vector<Text> texts_;
};

class StreamedCompletion : public Completion {
  public:
    using Completion::Completion;

    const char* stream_type() const noexcept override { return kEventStreamType; }
    /// Prompts are, until the first token.
    bool keeps_texts() const noexcept override { return asked().echo; }
    std::string progress(const Progress& progress) override { return sse_progress(progress); }

    Answer end() override {
        std::string last;
        if (head().include_usage) {
            Json out = completion_object(head());
            out["choices"] = Json::array();
            out["usage"] = usage(total());
            last = sse_event(dump(out));
        }
        return {200, last + sse_event("[DONE]")};
    }

  private:
    std::string token(std::size_t part, const Token& token) override {
        std::string out = begin(part);
        TextLogprobs logprobs;
        add_score(part, token, logprobs);
        // A token may be a part of a character, and still has its score.
        if (token.text.empty() && logprobs.empty()) return out;
        return out + sse_event(dump(chunk(part, token.text, logprobs, nullptr)));
    }
    std::string over(std::size_t part, const Done& done) override {
        std::string out = begin(part);
        Json last = chunk(part, done.text, {}, finish_reason(done.reason));
        last["timings"] = timings(done);
        return out + sse_event(dump(last));
    }
    std::string begin(std::size_t part) {
        const Echo begun = echo(part);
        if (begun.text.empty() && begun.logprobs.empty()) return {};
        return sse_event(dump(chunk(part, begun.text, begun.logprobs, nullptr)));
    }
    Json chunk(std::size_t part, const std::string& text, const TextLogprobs& logprobs,
               Json reason) const {
        Json out = completion_object(head());
        out["choices"] = Json::array();
        out["choices"].push_back(completion_choice(
            part, text, logprobs.empty() ? Json() : logprobs.json(), std::move(reason)));
        if (head().include_usage) out["usage"] = nullptr;
        return out;
    }
};

}  // namespace

Understood completions(const Call& call) {
    auto parsed = parse_completion(call.body);
    if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
    auto asked = std::get<0>(std::move(parsed));
    if (asked.stream) return std::make_unique<StreamedCompletion>(std::move(asked));
    return std::make_unique<WholeCompletion>(std::move(asked));
}

}  // namespace shoal::http::openai
