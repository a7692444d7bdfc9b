// POST /api/chat and /api/generate: the service's events as their answers.
#include <cstddef>
#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/http/dialects/ollama/chat.hpp"
#include "daemon/http/dialects/ollama/timings.hpp"
#include "daemon/http/dialects/openai/logprobs.hpp"
#include "daemon/http/json_output.hpp"

namespace shoal::http::ollama {
namespace {

using namespace mesh::messages;

enum class Form { chat, generate };

/// Some of an answer.
struct Piece {
    std::string text, reasoning;
    Json calls = Json::array();
    Json logprobs = Json::array();

    bool empty() const noexcept {
        return text.empty() && reasoning.empty() && calls.empty() && logprobs.empty();
    }
};

/// The arguments are an object here, which they were read as.
Json call_json(const ToolCall& call, std::size_t index) {
    Json arguments = Json::parse(call.arguments, nullptr, false);
    if (arguments.is_discarded()) arguments = Json::object();
    return {
        {"id", call.id},
        {"function", {{"index", index}, {"name", call.name}, {"arguments", std::move(arguments)}}}};
}

/// `calls`: those of the answer so far.
template <typename Event>
void add(Piece& piece, const Event& event, std::size_t& calls) {
    piece.text += event.text;
    piece.reasoning += event.reasoning;
    for (const ToolCall& call : event.calls) piece.calls.push_back(call_json(call, calls++));
}

/// The members of the answer that say it. A reader may look for the text in every object.
void put(Json& out, Form form, Piece piece) {
    Json& holder = form == Form::chat ? (out["message"] = {{"role", "assistant"}}) : out;
    holder[form == Form::chat ? "content" : "response"] = std::move(piece.text);
    if (!piece.reasoning.empty()) holder["thinking"] = std::move(piece.reasoning);
    if (!piece.calls.empty()) holder["tool_calls"] = std::move(piece.calls);
    if (!piece.logprobs.empty()) out["logprobs"] = std::move(piece.logprobs);
}

class GenerationAnswer : public ModelExchange {
  public:
    GenerationAnswer(Generation asked, Form form)
        : ModelExchange(asked.model),
          asked_(std::move(asked)),
          form_(form),
          model_(asked_.model.shown) {}

    Request request(std::size_t) const override {
        if (unloads()) return UnloadRequest{asked_.generate.model};
        return asked_.generate;
    }
    bool generates() const noexcept override { return true; }

    Written event(std::size_t, const Event& event) override {
        if (const auto* token = std::get_if<Token>(&event)) {
            name(token->model);
            Piece piece;
            add(piece, *token, calls_);
            if (!token->scores.empty()) {
                piece.logprobs.push_back(openai::chat_logprob(token->scores));
            }
            return said(std::move(piece));
        }
        // Of a prompt that is only read.
        if (asked_.load && std::holds_alternative<PromptTokens>(event)) return {};
        const auto* done = std::get_if<Done>(&event);
        if (done == nullptr) return unexpected_event();
        name(done->model);
        Piece piece;
        add(piece, *done, calls_);
        std::string out = said(std::move(piece));
        done_ = *done;
        return out;
    }

  protected:
    Json part(Piece piece, bool done) const {
        Json out = {{"model", model_}, {"created_at", timestamp()}};
        put(out, form_, std::move(piece));
        out["done"] = done;
        return out;
    }
    /// The end of the answer, with what was not said before.
    Json last(Piece piece) const {
        Json out = part(std::move(piece), true);
        if (asked_.load) return out["done_reason"] = unloads() ? "unload" : "load", out;
        out["done_reason"] = done_.reason == StopReason::length ? "length" : "stop";
        add_timings(done_, out);
        return out;
    }
    const Generation& asked() const noexcept { return asked_; }

  private:
    virtual std::string said(Piece piece) = 0;

    bool unloads() const noexcept { return asked_.load && asked_.generate.keep_alive == 0; }

    /// A client finds the name that it knows; one that gave none learns it.
    void name(const std::string& name) {
        if (model_.empty()) model_ = name;
    }

    const Generation asked_;
    const Form form_;
    std::string model_;
    std::size_t calls_ = 0;
    Done done_;
};

class WholeAnswer : public GenerationAnswer {
  public:
    using GenerationAnswer::GenerationAnswer;

    Answer end() override {
        const std::string body = dump(last(std::move(all_)));
        // One that only has a model loaded has nothing to stream.
        if (asked().stream) return {200, body + "\n", false, kLinesType};
        return {200, body};
    }

  private:
    std::string said(Piece piece) override {
        all_.text += piece.text;
        all_.reasoning += piece.reasoning;
        for (Json& call : piece.calls) all_.calls.push_back(std::move(call));
        for (Json& score : piece.logprobs) all_.logprobs.push_back(std::move(score));
        return {};
    }

    Piece all_;
};

class StreamedAnswer : public GenerationAnswer {
  public:
    using GenerationAnswer::GenerationAnswer;

    const char* stream_type() const noexcept override { return kLinesType; }
    Answer end() override { return {200, dump(last({})) + "\n"}; }

  private:
    std::string said(Piece piece) override {
        if (piece.empty()) return {};
        return dump(part(std::move(piece), false)) + "\n";
    }
};

Understood answer_of(std::variant<Generation, ApiError> parsed, Form form) {
    if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
    auto asked = std::get<0>(std::move(parsed));
    if (asked.stream && !asked.load) {
        return std::make_unique<StreamedAnswer>(std::move(asked), form);
    }
    return std::make_unique<WholeAnswer>(std::move(asked), form);
}

}  // namespace

Understood chat(const Call& call) {
    return answer_of(parse_chat(call.body), Form::chat);
}

Understood generate(const Call& call) {
    return answer_of(parse_generate(call.body), Form::generate);
}

}  // namespace shoal::http::ollama
