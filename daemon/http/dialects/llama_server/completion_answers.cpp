// POST /completion and /infill: the service's events as their answer.
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "daemon/http/dialects/llama_server/completion.hpp"
#include "daemon/http/dialects/llama_server/llama_server.hpp"
#include "daemon/http/dialects/openai/generation.hpp"
#include "daemon/http/dialects/openai/openai.hpp"
#include "daemon/http/json_output.hpp"
#include "daemon/http/sse.hpp"

namespace shoal::http::llama_server {
namespace {

using namespace mesh::messages;

const char* stop_type(StopReason reason) noexcept {
    switch (reason) {
        case StopReason::end:
            return "eos";
        case StopReason::length:
            return "limit";
        case StopReason::stop:
            return "word";
        case StopReason::cancelled:
            break;
    }
    return "none";
}

}  // namespace

Json settings_of(const CompletionRequest& asked) {
    const Sampling& s = asked.generate.sampling;
    const std::int64_t most = asked.generate.max_tokens;
    const bool read = asked.generate.task == Task::read;
    return {{"n_predict", most == 0 && !read ? -1 : most},
            {"seed", s.seed},
            {"temperature", s.temperature},
            {"top_k", s.top_k},
            {"top_p", s.top_p},
            {"min_p", s.min_p},
            {"repeat_penalty", s.repeat_penalty},
            {"repeat_last_n", s.penalty_last_n},
            {"presence_penalty", s.presence_penalty},
            {"frequency_penalty", s.frequency_penalty},
            {"stop", asked.generate.stop},
            {"ignore_eos", asked.generate.ignore_eos},
            {"stream", asked.stream}};
}

namespace {

/// A stream where it is asked for, else the whole at its end.
class Completion : public Exchange {
  public:
    explicit Completion(CompletionRequest asked)
        : Exchange(openai::kDialect), asked_(std::move(asked)) {}

    Request request(std::size_t) const override { return asked_.generate; }
    bool generates() const noexcept override { return true; }
    const char* stream_type() const noexcept override {
        return asked_.stream ? kEventStreamType : nullptr;
    }
    std::string progress(const Progress& progress) override { return sse_progress(progress); }
    /// No [DONE] here: the object that says "stop" is the last.
    std::string break_off(const ApiError& error) override {
        return sse_event(openai::error_json(error));
    }

    Written event(std::size_t, const Event& event) override {
        if (const auto* token = std::get_if<Token>(&event)) {
            ++predicted_;
            if (!asked_.stream) {
                text_ += token->text;
                if (asked_.return_tokens) ids_.push_back(token->id);
                return {};
            }
            return sse_event(dump(part(token->text, {token->id})));
        }
        // Of a prompt that is only read.
        if (std::holds_alternative<PromptTokens>(event)) return {};
        const auto* done = std::get_if<Done>(&event);
        if (done == nullptr) return unexpected_event();
        done_ = *done;
        text_ += done->text;
        return {};
    }

    Answer end() override {
        Json out = part(text_, ids_);
        out["stop"] = true;
        out["model"] = done_.model;
        out["tokens_predicted"] = done_.generated_tokens;
        out["tokens_evaluated"] = done_.prompt_tokens;
        out["tokens_cached"] = done_.cached_tokens;
        out["truncated"] = false;
        out["stop_type"] = stop_type(done_.reason);
        out["stopping_word"] = done_.stopped_by;
        out["generation_settings"] = settings_of(asked_);
        out["timings"] = openai::speeds(done_);
        const std::string body = dump(out);
        return {200, asked_.stream ? sse_event(body) : body};
    }

  private:
    Json part(const std::string& text, const std::vector<std::int32_t>& ids) const {
        return {{"index", 0},           {"content", text}, {"tokens", ids},
                {"stop", false},        {"id_slot", 0},    {"tokens_predicted", predicted_},
                {"tokens_evaluated", 0}};
    }

    const CompletionRequest asked_;
    std::string text_;  ///< of a stream: what is held back until its end
    std::vector<std::int32_t> ids_;
    std::uint32_t predicted_ = 0;
    Done done_;
};

Understood completion_of(std::variant<CompletionRequest, ApiError> parsed) {
    if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
    return std::make_unique<Completion>(std::get<0>(std::move(parsed)));
}

}  // namespace

Understood completion(const Call& call) {
    return completion_of(parse_completion(call.body));
}

Understood infill(const Call& call) {
    return completion_of(parse_infill(call.body));
}

}  // namespace shoal::http::llama_server
