// POST /v1/responses: the service's events as its answer; and what is kept of it.
#include <fmt/format.h>

#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/http/dialects/openai/logprobs.hpp"
#include "daemon/http/dialects/openai/openai.hpp"
#include "daemon/http/dialects/openai/response_output.hpp"
#include "daemon/http/dialects/openai/responses.hpp"
#include "daemon/http/json_output.hpp"
#include "daemon/http/random_ids.hpp"
#include "daemon/http/sse.hpp"

namespace shoal::http::openai {
namespace {

using namespace mesh::messages;

Json usage_of(const Done& done) {
    return {{"input_tokens", done.prompt_tokens},
            {"input_tokens_details", {{"cached_tokens", done.cached_tokens}}},
            {"output_tokens", done.generated_tokens},
            {"output_tokens_details", {{"reasoning_tokens", done.reasoning_tokens}}},
            {"total_tokens", std::uint64_t{done.prompt_tokens} + done.generated_tokens}};
}

/// Whole or streamed, the output is made in the same way; the one throws away what a stream would
/// tell meanwhile.
class ResponseExchange : public Exchange {
  public:
    ResponseExchange(ResponseRequest asked, std::shared_ptr<KeptTexts> kept)
        : Exchange(kDialect),
          asked_(std::move(asked)),
          kept_(std::move(kept)),
          model_(asked_.generate.model),
          output_(asked_.summary) {
        answer_.role = "assistant";
    }

    Request request(std::size_t) const override { return asked_.generate; }
    bool generates() const noexcept override { return true; }
    const char* stream_type() const noexcept override {
        return asked_.stream ? kEventStreamType : nullptr;
    }
    /// The last event repeats all.
    bool keeps_texts() const noexcept override { return true; }
    std::string progress(const Progress& progress) override { return sse_progress(progress); }

    Written event(std::size_t, const Event& event) override {
        if (const auto* token = std::get_if<Token>(&event)) {
            if (!token->model.empty()) model_ = token->model;
            return told(token_events(*token));
        }
        const auto* done = std::get_if<Done>(&event);
        if (done == nullptr) return unexpected_event();
        if (!done->model.empty()) model_ = done->model;
        done_ = *done;
        return told(over());
    }

    Answer end() override {
        const bool whole = done_.reason != StopReason::length;
        const Json response = self(whole ? "completed" : "incomplete");
        if (asked_.store && kept_ != nullptr) {
            chat::Conversation conversation = std::move(asked_.conversation);
            conversation.messages.push_back(std::move(answer_));
            keep_response(*kept_, response, conversation);
        }
        if (!asked_.stream) return {200, dump(response)};
        return {200, output_.tell(whole ? "response.completed" : "response.incomplete", response)};
    }

    Answer refuse(const ApiError& error) override { return Exchange::refuse(of_input(error)); }
    std::string break_off(const ApiError& error) override {
        Json response = self("failed");
        response["error"] = {{"code", error.code}, {"message", message_of(error)}};
        return begin() + output_.tell("response.failed", response);
    }

  private:
    /// The prompt is not a field here.
    static ApiError of_input(ApiError error) {
        if (error.param == "prompt") error.param = "input";
        return error;
    }
    std::string told(std::string events) const {
        return asked_.stream ? std::move(events) : std::string();
    }

    std::string begin() {
        if (std::exchange(begun_, true)) return {};
        const Json response = self("in_progress");
        std::string out = output_.tell("response.created", response);
        return out + output_.tell("response.in_progress", response);
    }
    template <typename Event>
    std::string texts(const Event& event, const Json& logprobs) {
        std::string out = begin();
        if (!event.reasoning.empty()) out += output_.add_reasoning(event.reasoning);
        if (!event.text.empty() || !logprobs.empty()) out += output_.add_text(event.text, logprobs);
        for (const ToolCall& call : event.calls) {
            out += output_.add_call(call);
            answer_.tool_calls.push_back({call.id, call.name, call.arguments});
        }
        answer_.reasoning += event.reasoning;
        answer_.content += event.text;
        return out;
    }
    std::string token_events(const Token& token) {
        Json logprobs = Json::array();
        if (!token.scores.empty() && (token.reasoning.empty() || !token.text.empty())) {
            logprobs.push_back(chat_logprob(token.scores));
        }
        return texts(token, logprobs);
    }
    std::string over() {
        std::string out = texts(done_, Json::array());
        return out + output_.close(done_.reason == StopReason::length ? "incomplete" : "completed");
    }

    Json self(const char* status) const {
        Json out = {{"id", id_},
                    {"object", "response"},
                    {"created_at", created_},
                    {"status", status},
                    {"background", false},
                    {"error", nullptr},
                    {"incomplete_details", nullptr},
                    {"model", model_},
                    {"output", output_.items()},
                    {"usage", nullptr}};
        out.update(*asked_.repeated);
        if (done_.reason == StopReason::length) {
            out["incomplete_details"] = {{"reason", "max_output_tokens"}};
        }
        const std::string_view now = status;
        if (now == "completed" || now == "incomplete") out["usage"] = usage_of(done_);
        return out;
    }

    ResponseRequest asked_;
    const std::shared_ptr<KeptTexts> kept_;
    const std::string id_ = random_id(kResponsePrefix);
    const std::int64_t created_ = std::time(nullptr);
    std::string model_;
    ResponseOutput output_;
    chat::Message answer_;
    Done done_;
    bool begun_ = false;
};

ApiError no_response(std::string_view id) {
    return {404, "response_not_found",
            fmt::format("there is no response \"{}\" here: it was not stored, was given up for "
                        "later ones or came from another device",
                        id.substr(0, kQuotedBytes)),
            "response_id"};
}

}  // namespace

Understood responses(const Call& call) {
    auto parsed = parse_response(call.body, call.kept.get());
    if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
    return std::make_unique<ResponseExchange>(std::get<0>(std::move(parsed)), call.kept);
}

Understood response(const Call& call) {
    const auto kept = find_response(call.kept.get(), call.name);
    if (!kept) return no_response(call.name);
    return std::make_unique<KnownAnswer>(kDialect, Answer{200, response_of(*kept)});
}

Understood delete_response(const Call& call) {
    if (!find_response(call.kept.get(), call.name)) return no_response(call.name);
    call.kept->erase(call.name);
    const Json deleted = {
        {"id", std::string(call.name)}, {"object", "response"}, {"deleted", true}};
    return std::make_unique<KnownAnswer>(kDialect, Answer{200, dump(deleted)});
}

}  // namespace shoal::http::openai
