#include "daemon/http/dialects/openai/embeddings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/http/dialects/openai/openai.hpp"
#include "daemon/http/json_output.hpp"
#include "daemon/http/sampling_fields.hpp"

namespace shoal::http::openai {
namespace {

using namespace mesh::messages;

Problem take_encoding(const std::string& name, const Json& value, EmbeddingRequest& r) {
    r.base64 = value == "base64";
    if (r.base64 || value == "float") return {};
    return wrong(name, value, "\"float\" or \"base64\"");
}

Problem take_dimensions(const std::string& name, const Json& value, EmbeddingRequest& r) {
    if (!value.is_number_unsigned() || value == 0 || value > kMaxEmbeddingWidth) {
        return wrong(name, value, fmt::format("an integer from 1 to {}", kMaxEmbeddingWidth));
    }
    return take(name, value, r.dimensions);
}

constexpr Field<EmbeddingRequest> kEmbeddingFields[] = {
    {"input",
     [](const auto& name, const Json& v, auto& r) {
         return take_prompts(name, v, kMaxInputs, r.inputs);
     },
     false},
    {"model", [](const auto& name, const Json& v, auto& r) { return take(name, v, r.model); }},
    {"encoding_format", take_encoding},
    {"dimensions", take_dimensions},
    {"priority",
     [](const auto& name, const Json& v, auto& r) { return take_priority(name, v, r.priority); }},
    {"user", [](const auto& name, const Json& v, auto&) { return accept_string(name, v); }},
};

constexpr char kBase64Digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string base64(const std::vector<float>& vector) {
    static_assert(std::endian::native == std::endian::little && sizeof(float) == 4);
    std::vector<unsigned char> bytes(vector.size() * sizeof(float));
    std::memcpy(bytes.data(), vector.data(), bytes.size());
    std::string out;
    out.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        const std::size_t left = bytes.size() - i;
        const unsigned three =
            bytes[i] << 16U | (left > 1 ? bytes[i + 1] << 8U : 0U) | (left > 2 ? bytes[i + 2] : 0U);
        out += kBase64Digits[three >> 18U];
        out += kBase64Digits[three >> 12U & 63U];
        out += left > 1 ? kBase64Digits[three >> 6U & 63U] : '=';
        out += left > 2 ? kBase64Digits[three & 63U] : '=';
    }
    return out;
}

class Embeddings : public Exchange {
  public:
    explicit Embeddings(EmbeddingRequest asked)
        : Exchange(kDialect),
          asked_(std::move(asked)),
          model_(asked_.model),
          vectors_(asked_.inputs.size()) {}

    std::size_t parts() const noexcept override { return asked_.inputs.size(); }
    Request request(std::size_t part) const override { return asked_.input(part); }
    bool generates() const noexcept override { return true; }

    Written event(std::size_t part, const Event& event) override {
        const auto* done = std::get_if<Done>(&event);
        if (done == nullptr) return unexpected_event();
        if (auto problem = problem_of(*done, asked_)) return *std::move(problem);
        vectors_[part] = unit_vector(done->embedding, asked_.dimensions);
        prompt_tokens_ += done->prompt_tokens;
        if (!done->model.empty()) model_ = done->model;
        return {};
    }

    Answer end() override {
        // As JSON values the numbers would take four times the memory on their way.
        std::string data;
        for (std::size_t i = 0; i < vectors_.size(); ++i) {
            const std::vector<float>& vector = vectors_[i];
            const std::string numbers = asked_.base64 ? fmt::format("\"{}\"", base64(vector))
                                                      : fmt::format("[{}]", fmt::join(vector, ","));
            data += fmt::format("{}{{\"object\":\"embedding\",\"index\":{},\"embedding\":{}}}",
                                i == 0 ? "" : ",", i, numbers);
        }
        return {200, fmt::format("{{\"object\":\"list\",\"data\":[{}],\"model\":{},\"usage\":"
                                 "{{\"prompt_tokens\":{},\"total_tokens\":{}}}}}",
                                 data, dump(model_), prompt_tokens_, prompt_tokens_)};
    }

    Answer refuse(const ApiError& error) override {
        ApiError of_input = error;
        if (error.param == "prompt") of_input.param = "input";
        return Exchange::refuse(of_input);
    }

  private:
    const EmbeddingRequest asked_;
    std::string model_;
    std::vector<std::vector<float>> vectors_;
    std::uint64_t prompt_tokens_ = 0;
};

}  // namespace

Generate EmbeddingRequest::input(std::size_t index) const {
    Generate request;
    request.task = Task::embed;
    request.priority = priority;
    request.model = model;
    request.prompt = inputs[index].text;
    request.prompt_ids = inputs[index].ids;
    return request;
}

std::optional<ApiError> problem_of(const Done& done, const EmbeddingRequest& asked) {
    const std::size_t width = done.embedding.size();
    const bool finite = std::all_of(done.embedding.begin(), done.embedding.end(),
                                    [](float x) { return std::isfinite(x); });
    if (width == 0 || !finite) return unexpected_event();
    if (asked.dimensions <= width) return std::nullopt;
    return bad_field("dimensions", fmt::format("dimensions is {}; the model's vectors have {}",
                                               asked.dimensions, width));
}

std::vector<float> unit_vector(std::vector<float> vector, std::size_t dimensions) {
    if (dimensions != 0) vector.resize(dimensions);
    double squares = 0;
    for (const float x : vector) squares += double{x} * x;
    if (!(squares > 0)) return vector;
    const double length = std::sqrt(squares);
    for (float& x : vector) x = static_cast<float>(x / length);
    return vector;
}

std::variant<EmbeddingRequest, ApiError> parse_embedding(std::string_view body) {
    Json object;
    if (auto problem = read_json(body, object)) return *std::move(problem);
    EmbeddingRequest request;
    for (const auto& [name, value] : object.items()) {
        const auto* field = find_field(kEmbeddingFields, name);
        if (field == nullptr) return unknown_field(name);
        if (auto problem = take(*field, name, value, request)) return *std::move(problem);
    }
    if (!object.contains("input")) return missing_field("input");
    for (std::size_t i = 0; i < request.inputs.size(); ++i) {
        const Prompt& input = request.inputs[i];
        if (input.text.empty() && input.ids.empty()) {
            return bad_field("input",
                             "input is empty, or one of its texts; there is no vector of "
                             "nothing");
        }
        if (auto problem = refused(request.input(i), "prompt_ids", "input")) {
            return *std::move(problem);
        }
    }
    return request;
}

Understood embeddings(const Call& call) {
    auto parsed = parse_embedding(call.body);
    if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
    return std::make_unique<Embeddings>(std::get<0>(std::move(parsed)));
}

}  // namespace shoal::http::openai
