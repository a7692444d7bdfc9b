// POST /v1/chat/completions: the service's events as its answer.
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "daemon/http/dialects/openai/chat.hpp"
#include "daemon/http/dialects/openai/generation_exchange.hpp"
#include "daemon/http/dialects/openai/logprobs.hpp"
#include "daemon/http/json_output.hpp"
#include "daemon/http/sse.hpp"

namespace shoal::http::openai {
namespace {

using namespace mesh::messages;

Json chat_object(const Head& head, const char* kind) {
    return {{"id", head.id},
            {"object", kind},
            {"created", head.created},
            {"model", head.model},
            {"system_fingerprint", kSystemFingerprint}};
}

Json call_json(const ToolCall& call, const std::string& arguments) {
    return {{"id", call.id},
            {"type", "function"},
            {"function", {{"name", call.name}, {"arguments", arguments}}}};
}

/// A reason to stop that a client acts on: it calls the tools.
const char* chat_finish_reason(StopReason reason, bool calls) noexcept {
    return calls && reason != StopReason::length ? "tool_calls" : finish_reason(reason);
}

/// Reasoning is no part of the message whose tokens these are.
bool has_logprob(const Token& token) noexcept {
    return !token.scores.empty() && (token.reasoning.empty() || !token.text.empty());
}

/// What both forms of answer have.
class ChatAnswer : public GenerationExchange {
  public:
    explicit ChatAnswer(ChatRequest asked)
        : GenerationExchange(head_of("chatcmpl-", asked), asked.n), asked_(std::move(asked)) {}

    std::size_t parts() const noexcept override { return asked_.n; }
    Request request(std::size_t part) const override { return asked_.choice(part); }
    Answer refuse(const ApiError& error) override {
        return GenerationExchange::refuse(of_messages(error));
    }
    std::string break_off(const ApiError& error) override {
        return GenerationExchange::break_off(of_messages(error));
    }

  protected:
    const ChatRequest& asked() const noexcept { return asked_; }

  private:
    /// The prompt is not a field here.
    static ApiError of_messages(ApiError error) {
        if (error.param == "prompt") error.param = "messages";
        return error;
    }

    const ChatRequest asked_;
};

class WholeChat : public ChatAnswer {
  public:
    explicit WholeChat(ChatRequest asked) : ChatAnswer(std::move(asked)), choices_(parts()) {}

    Answer end() override {
        Json out = chat_object(head(), "chat.completion");
        Json& list = out["choices"] = Json::array();
        for (Choice& c : choices_) list.push_back(choice(list.size(), c));
        out["usage"] = usage(total());
        out["timings"] = timings(total());
        return {200, dump(out)};
    }

  private:
    struct Choice {
        std::string text, reasoning;
        std::vector<ToolCall> calls;
        Json logprobs = Json::array();
        StopReason reason = StopReason::end;
    };

    template <typename Event>
    void add(std::size_t part, const Event& event) {
        Choice& c = choices_[part];
        c.text += event.text;
        c.reasoning += event.reasoning;
        c.calls.insert(c.calls.end(), event.calls.begin(), event.calls.end());
    }
    std::string token(std::size_t part, const Token& token) override {
        add(part, token);
        if (has_logprob(token)) choices_[part].logprobs.push_back(chat_logprob(token.scores));
        return {};
    }
    std::string over(std::size_t part, const Done& done) override {
        add(part, done);
        choices_[part].reason = done.reason;
        return {};
    }
    Json choice(std::size_t index, Choice& c) const {
        Json message = {{"role", "assistant"}, {"content", nullptr}};
        if (!c.text.empty() || c.calls.empty()) message["content"] = c.text;
        if (!c.reasoning.empty()) message["reasoning_content"] = c.reasoning;
        message["refusal"] = nullptr;
        for (const ToolCall& call : c.calls) {
            message["tool_calls"].push_back(call_json(call, call.arguments));
        }
        Json logprobs;
        if (asked().generate.logprobs > 0) {
            logprobs = {{"content", std::move(c.logprobs)}, {"refusal", nullptr}};
        }
        return {{"index", index},
                {"message", std::move(message)},
                {"logprobs", std::move(logprobs)},
                {"finish_reason", chat_finish_reason(c.reason, !c.calls.empty())}};
    }

    std::vector<Choice> choices_;
};

class StreamedChat : public ChatAnswer {
  public:
    explicit StreamedChat(ChatRequest asked) : ChatAnswer(std::move(asked)), choices_(parts()) {}

    const char* stream_type() const noexcept override { return kEventStreamType; }
    std::string progress(const Progress& progress) override { return sse_progress(progress); }

    Answer end() override {
        std::string last;
        if (head().include_usage) {
            Json out = chat_object(head(), kChunk);
            out["choices"] = Json::array();
            out["usage"] = usage(total());
            last = sse_event(dump(out));
        }
        return {200, last + sse_event("[DONE]")};
    }

  private:
    static constexpr char kChunk[] = "chat.completion.chunk";
    struct Choice {
        bool begun = false;
        std::size_t calls = 0;
    };

    std::string token(std::size_t part, const Token& token) override {
        Json logprobs;
        if (has_logprob(token)) {
            logprobs = {{"content", Json::array({chat_logprob(token.scores)})},
                        {"refusal", nullptr}};
        }
        return deltas(part, token, std::move(logprobs));
    }
    std::string over(std::size_t part, const Done& done) override {
        std::string out = deltas(part, done, nullptr);
        Json last = chunk(part, Json::object(), nullptr,
                          chat_finish_reason(done.reason, choices_[part].calls > 0));
        last["timings"] = timings(done);
        return out + sse_event(dump(last));
    }

    /// What an event brings: reasoning, text, then calls.
    template <typename Event>
    std::string deltas(std::size_t part, const Event& event, Json logprobs) {
        std::string out;
        const auto send = [&](Json delta, Json scores) {
            out += sse_event(dump(chunk(part, std::move(delta), std::move(scores), nullptr)));
        };
        Choice& choice = choices_[part];
        if (!std::exchange(choice.begun, true)) {
            send({{"role", "assistant"}, {"content", ""}, {"refusal", nullptr}}, nullptr);
        }
        if (!event.reasoning.empty()) send({{"reasoning_content", event.reasoning}}, nullptr);
        // A token may be a part of a character, and still has its score.
        if (!event.text.empty() || !logprobs.is_null()) {
            send({{"content", event.text}}, std::move(logprobs));
        }
        for (const ToolCall& call : event.calls) {
            Json first = call_json(call, "");
            first["index"] = choice.calls;
            send({{"tool_calls", Json::array({std::move(first)})}}, nullptr);
            Json rest = {{"index", choice.calls}, {"function", {{"arguments", call.arguments}}}};
            send({{"tool_calls", Json::array({std::move(rest)})}}, nullptr);
            ++choice.calls;
        }
        return out;
    }
    Json chunk(std::size_t part, Json delta, Json logprobs, Json reason) const {
        Json out = chat_object(head(), kChunk);
        Json choice = {{"index", part},
                       {"delta", std::move(delta)},
                       {"logprobs", std::move(logprobs)},
                       {"finish_reason", std::move(reason)}};
        out["choices"] = Json::array({std::move(choice)});
        if (head().include_usage) out["usage"] = nullptr;
        return out;
    }

    std::vector<Choice> choices_;
};

}  // namespace

Understood chat(const Call& call) {
    auto parsed = parse_chat(call.body);
    if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
    auto asked = std::get<0>(std::move(parsed));
    if (asked.stream) return std::make_unique<StreamedChat>(std::move(asked));
    return std::make_unique<WholeChat>(std::move(asked));
}

}  // namespace shoal::http::openai
