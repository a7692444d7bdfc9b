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

constexpr Field<TokenizeRequest> kTokenizeFields[] = {
    {"model", [](const auto& name, const Json& v, auto& r) { return take(name, v, r.model); },
     false},
    {"content", [](const auto& name, const Json& v, auto& r) { return take(name, v, r.text); },
     false},
    {"add_special",
     [](const auto& name, const Json& v, auto& r) { return take(name, v, r.add_special); }, false},
    {"parse_special",
     [](const auto& name, const Json& v, auto& r) { return take(name, v, r.parse_special); },
     false},
};

constexpr Field<DetokenizeRequest> kDetokenizeFields[] = {
    {"model", [](const auto& name, const Json& v, auto& r) { return take(name, v, r.model); },
     false},
    {"tokens", [](const auto& name, const Json& v, auto& r) { return take(name, v, r.ids); },
     false},
};

/// `request`: what is meant by an empty one. `required`: the field that says of what, called
/// `on_wire` in the request.
template <typename R, std::size_t kCount>
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
    Request wire = std::move(request);
    if (auto problem = refused(wire, on_wire, required)) return *std::move(problem);
    return std::get<R>(std::move(wire));
}

Answer answer(const TokenizeReply& reply) {
    // A million of them as JSON values would take a hundred megabytes on their way.
    return {200, fmt::format("{{\"tokens\":[{}]}}", fmt::join(reply.ids, ","))};
}

Answer answer(const DetokenizeReply& reply) {
    return {200, dump({{"content", reply.text}})};
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
        answer_ = answer(*reply);
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

std::variant<TokenizeRequest, ApiError> parse_tokenize(std::string_view body) {
    TokenizeRequest text;
    text.add_special = false;
    return parse(body, std::move(text), kTokenizeFields, "content", "text");
}

std::variant<DetokenizeRequest, ApiError> parse_detokenize(std::string_view body) {
    return parse(body, DetokenizeRequest(), kDetokenizeFields, "tokens", "ids");
}

Understood tokenize(const Call& call) {
    return understood<TokenizeReply>(parse_tokenize(call.body));
}

Understood detokenize(const Call& call) {
    return understood<DetokenizeReply>(parse_detokenize(call.body));
}

}  // namespace shoal::http::llama_server
