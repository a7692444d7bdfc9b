// POST /v1/messages and /v1/messages/count_tokens: the service's events as their answers.
#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/http/dialects/anthropic/anthropic.hpp"
#include "daemon/http/dialects/anthropic/messages.hpp"
#include "daemon/http/json_output.hpp"
#include "daemon/http/random_ids.hpp"
#include "daemon/http/sse.hpp"

namespace shoal::http::anthropic {
namespace {

using namespace mesh::messages;

Json input_of(const ToolCall& call) {
    Json input = Json::parse(call.arguments, nullptr, false);
    return input.is_discarded() ? Json::object() : input;
}

Json usage_of(const Done& done) {
    return {{"input_tokens", done.prompt_tokens - done.cached_tokens},
            {"cache_creation_input_tokens", 0},
            {"cache_read_input_tokens", done.cached_tokens},
            {"output_tokens", done.generated_tokens}};
}

class MessageAnswer : public Exchange {
  public:
    explicit MessageAnswer(MessagesRequest asked)
        : Exchange(kDialect), asked_(std::move(asked)), model_(asked_.generate.model) {}

    Request request(std::size_t) const override { return asked_.generate; }
    bool generates() const noexcept override { return true; }

    Written event(std::size_t, const Event& event) override {
        if (const auto* token = std::get_if<Token>(&event)) {
            name(token->model);
            return say(token->reasoning, token->text, token->calls);
        }
        const auto* done = std::get_if<Done>(&event);
        if (done == nullptr) return unexpected_event();
        name(done->model);
        done_ = *done;
        return say(done->reasoning, done->text, done->calls);
    }

  protected:
    /// The message without what it says, which is `content`.
    Json message(Json content) const {
        return {{"id", id_},
                {"type", "message"},
                {"role", "assistant"},
                {"model", model_},
                {"content", std::move(content)},
                {"stop_reason", nullptr},
                {"stop_sequence", nullptr},
                {"usage", usage_of(done_)}};
    }
    /// Why it ended.
    Json ending() const {
        const bool stop = done_.reason == StopReason::stop;
        const char* reason = done_.reason == StopReason::length ? "max_tokens"
                             : stop                             ? "stop_sequence"
                             : called_                          ? "tool_use"
                                                                : "end_turn";
        return {{"stop_reason", reason},
                {"stop_sequence", stop ? Json(done_.stopped_by) : Json(nullptr)}};
    }
    const Done& done() const noexcept { return done_; }

  private:
    virtual std::string on_text(const char* type, const std::string& text) = 0;
    virtual std::string on_call(const ToolCall& call) = 0;

    std::string say(const std::string& reasoning, const std::string& text,
                    const std::vector<ToolCall>& calls) {
        std::string out;
        if (!reasoning.empty()) out += on_text("thinking", reasoning);
        if (!text.empty()) out += on_text("text", text);
        for (const ToolCall& call : calls) {
            called_ = true;
            out += on_call(call);
        }
        return out;
    }
    void name(const std::string& name) {
        if (model_.empty()) model_ = name;
    }

    const MessagesRequest asked_;
    const std::string id_ = random_id("msg_");
    std::string model_;
    Done done_;
    bool called_ = false;
};

class WholeMessage : public MessageAnswer {
  public:
    using MessageAnswer::MessageAnswer;

    Answer end() override {
        Json out = message(std::move(content_));
        out.update(ending());
        return {200, dump(out)};
    }

  private:
    std::string on_text(const char* type, const std::string& text) override {
        if (content_.empty() || content_.back()["type"] != type) {
            content_.push_back({{"type", type}, {type, ""}});
            if (std::string_view(type) == "thinking") content_.back()["signature"] = "";
        }
        content_.back()[type].get_ref<std::string&>() += text;
        return {};
    }
    std::string on_call(const ToolCall& call) override {
        content_.push_back({{"type", "tool_use"},
                            {"id", call.id},
                            {"name", call.name},
                            {"input", input_of(call)}});
        return {};
    }

    Json content_ = Json::array();
};

class StreamedMessage : public MessageAnswer {
  public:
    using MessageAnswer::MessageAnswer;

    const char* stream_type() const noexcept override { return kEventStreamType; }
    std::string progress(const Progress& progress) override { return sse_progress(progress); }

    Answer end() override {
        std::string out = begun() + close();
        out += named({{"type", "message_delta"}, {"delta", ending()}, {"usage", usage_of(done())}});
        return {200, out + named({{"type", "message_stop"}})};
    }

  private:
    static std::string named(const Json& event) {
        return sse_event(event["type"].get_ref<const std::string&>(), dump(event));
    }

    std::string begun() {
        if (std::exchange(begun_, true)) return {};
        return named({{"type", "message_start"}, {"message", message(Json::array())}});
    }
    std::string open(const std::string& type, Json block) {
        type_ = type;
        return named({{"type", "content_block_start"},
                      {"index", index_},
                      {"content_block", std::move(block)}});
    }
    std::string delta(Json delta) const {
        return named(
            {{"type", "content_block_delta"}, {"index", index_}, {"delta", std::move(delta)}});
    }
    std::string close() {
        if (std::exchange(type_, {}).empty()) return {};
        return named({{"type", "content_block_stop"}, {"index", index_++}});
    }

    std::string on_text(const char* type, const std::string& text) override {
        std::string out = begun();
        if (type_ != type) {
            out += close();
            Json block{{"type", type}, {type, ""}};
            if (std::string_view(type) == "thinking") block["signature"] = "";
            out += open(type, std::move(block));
        }
        return out + delta({{"type", std::string(type) + "_delta"}, {type, text}});
    }
    std::string on_call(const ToolCall& call) override {
        std::string out = begun() + close();
        out += open("tool_use", {{"type", "tool_use"},
                                 {"id", call.id},
                                 {"name", call.name},
                                 {"input", Json::object()}});
        out += delta({{"type", "input_json_delta"}, {"partial_json", call.arguments}});
        return out + close();
    }

    bool begun_ = false;
    std::string type_;  // of the block that is open
    std::size_t index_ = 0;
};

class TokenCount : public Exchange {
  public:
    explicit TokenCount(TokenizeRequest request)
        : Exchange(kDialect), request_(std::move(request)) {}

    Request request(std::size_t) const override { return request_; }
    Written event(std::size_t, const Event& event) override {
        const auto* reply = std::get_if<TokenizeReply>(&event);
        if (reply == nullptr) return unexpected_event();
        tokens_ = reply->ids.size();
        return {};
    }
    Answer end() override { return {200, dump({{"input_tokens", tokens_}})}; }

  private:
    const TokenizeRequest request_;
    std::size_t tokens_ = 0;
};

}  // namespace

Understood messages(const Call& call) {
    auto parsed = parse_messages(call.body);
    if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
    auto request = std::get<0>(std::move(parsed));
    if (request.stream) return std::make_unique<StreamedMessage>(std::move(request));
    return std::make_unique<WholeMessage>(std::move(request));
}

Understood count_tokens(const Call& call) {
    auto parsed = parse_count(call.body);
    if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
    return std::make_unique<TokenCount>(std::get<0>(std::move(parsed)));
}

}  // namespace shoal::http::anthropic
