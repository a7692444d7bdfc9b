// POST /tokenize and /detokenize.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/http/dialects/llama_server/llama_server.hpp"
#include "daemon/http/dialects/openai/openai.hpp"
#include "daemon/http/json_fields.hpp"
#include "daemon/http/json_output.hpp"

namespace shoal::http::llama_server {
namespace {

using namespace mesh::messages;

/// Tokens whose texts are told at one time: what makes the answer has other things to do.
constexpr std::size_t kMaxPieces = 1u << 16;

constexpr Field<Tokenizing> kTokenizeFields[] = {
    {"model", [](const auto& name, const Json& v, auto& r) { return take(name, v, r.model); },
     false},
    {"content", [](const auto& name, const Json& v, auto& r) { return take(name, v, r.text); },
     false},
    {"add_special",
     [](const auto& name, const Json& v, auto& r) { return take(name, v, r.add_special); }, false},
    {"parse_special",
     [](const auto& name, const Json& v, auto& r) { return take(name, v, r.parse_special); },
     false},
    {"with_pieces",
     [](const auto& name, const Json& v, auto& r) { return take(name, v, r.with_pieces); }, false},
};

constexpr Field<DetokenizeRequest> kDetokenizeFields[] = {
    {"model", [](const auto& name, const Json& v, auto& r) { return take(name, v, r.model); },
     false},
    {"tokens", [](const auto& name, const Json& v, auto& r) { return take(name, v, r.ids); },
     false},
};

/// `request`: what is meant by an empty one, a message M. `required`: the field that says of what,
/// called `on_wire` in the request.
template <typename M, typename R, std::size_t kCount>
std::variant<R, ApiError> parse(std::string_view body, R request, const Field<R> (&fields)[kCount],
                                const char* required, std::string_view on_wire) {
    Json object;
    if (auto problem = read_json(body, object)) return *std::move(problem);
    for (const auto& [name, value] : object.items()) {
        const Field<R>* field = find_field(fields, name);
        if (field == nullptr) return unknown_field(name);
        if (auto problem = take(*field, name, value, request)) return *std::move(problem);
    }
    if (!object.contains(required)) return missing_field(required);
    M& message = request;
    Request wire = std::move(message);
    if (auto problem = refused(wire, on_wire, required)) return *std::move(problem);
    message = std::get<M>(std::move(wire));
    return request;
}

/// A part of a character is told by its bytes, as llama.cpp's server does.
std::string piece_json(const std::string& piece) {
    // What is no character is replaced, or left out.
    const std::string text = dump(piece);
    if (text == Json(piece).dump(-1, ' ', false, Json::error_handler_t::ignore)) return text;
    const std::vector<unsigned> bytes(
        reinterpret_cast<const unsigned char*>(piece.data()),
        reinterpret_cast<const unsigned char*>(piece.data()) + piece.size());
    return fmt::format("[{}]", fmt::join(bytes, ","));
}

// A million tokens as JSON values would take a hundred megabytes on their way.
std::variant<Answer, ApiError> answer(const Tokenizing& asked, const TokenizeReply& reply) {
    if (!asked.with_pieces) {
        return Answer{200, fmt::format("{{\"tokens\":[{}]}}", fmt::join(reply.ids, ","))};
    }
    if (reply.ids.size() > kMaxPieces || reply.pieces.size() != reply.ids.size()) {
        return ApiError{413, "too_large",
                        fmt::format("content has {} tokens; the texts of {} can be told at one "
                                    "time, send it in parts or without with_pieces",
                                    reply.ids.size(), kMaxPieces),
                        "content"};
    }
    std::string tokens;
    for (std::size_t i = 0; i < reply.ids.size(); ++i) {
        tokens += fmt::format("{}{{\"id\":{},\"piece\":{}}}", i == 0 ? "" : ",", reply.ids[i],
                              piece_json(reply.pieces[i]));
    }
    return Answer{200, "{\"tokens\":[" + tokens + "]}"};
}

std::variant<Answer, ApiError> answer(const DetokenizeRequest&, const DetokenizeReply& reply) {
    return Answer{200, dump({{"content", reply.text}})};
}

/// One request, and its one reply.
template <typename Asked, typename Reply>
class Conversion : public Exchange {
  public:
    explicit Conversion(Asked request) : Exchange(openai::kDialect), request_(std::move(request)) {}

    Request request(std::size_t) const override { return request_; }
    Written event(std::size_t, const Event& event) override {
        const auto* reply = std::get_if<Reply>(&event);
        if (reply == nullptr) return unexpected_event();
        auto answered = answer(request_, *reply);
        if (auto* error = std::get_if<ApiError>(&answered)) return *std::move(error);
        answer_ = std::get<Answer>(std::move(answered));
        return {};
    }
    Answer end() override { return std::move(answer_); }

  private:
    const Asked request_;
    Answer answer_;
};

template <typename Reply, typename Asked>
Understood understood(std::variant<Asked, ApiError> parsed) {
    if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
    return std::make_unique<Conversion<Asked, Reply>>(std::get<0>(std::move(parsed)));
}

}  // namespace

std::variant<Tokenizing, ApiError> parse_tokenize(std::string_view body) {
    Tokenizing text;
    text.add_special = false;
    return parse<TokenizeRequest>(body, std::move(text), kTokenizeFields, "content", "text");
}

std::variant<DetokenizeRequest, ApiError> parse_detokenize(std::string_view body) {
    return parse<DetokenizeRequest>(body, DetokenizeRequest(), kDetokenizeFields, "tokens", "ids");
}

Understood tokenize(const Call& call) {
    return understood<TokenizeReply>(parse_tokenize(call.body));
}

Understood detokenize(const Call& call) {
    return understood<DetokenizeReply>(parse_detokenize(call.body));
}

}  // namespace shoal::http::llama_server
