#include "daemon/http/dialects/ollama/embed.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "daemon/http/dialects/ollama/generation.hpp"
#include "daemon/http/dialects/ollama/options.hpp"
#include "daemon/http/dialects/ollama/timings.hpp"
#include "daemon/http/json_output.hpp"

namespace shoal::http::ollama {
namespace {

using namespace mesh::messages;

Problem take_input(const std::string& name, const Json& value, Embedding& out) {
    auto& inputs = out.asked.inputs;
    inputs.clear();
    // Nothing has no vector; a program asks so to have the model loaded.
    if (value == "") return {};
    const bool texts = value.is_array() && std::all_of(value.begin(), value.end(),
                                                       [](const Json& t) { return t.is_string(); });
    if (!value.is_string() && !texts) return wrong(name, value, "a string or an array of strings");
    if (value.is_array() && value.empty()) return {};
    if (auto problem = openai::take_prompts(name, value, openai::kMaxInputs, inputs)) {
        return problem;
    }
    const bool empty = std::any_of(inputs.begin(), inputs.end(),
                                   [](const openai::Prompt& input) { return input.text.empty(); });
    if (!empty) return {};
    return bad_field(name, fmt::format("one of {} is empty; there is no vector of nothing", name));
}

Problem take_prompt(const std::string& name, const Json& value, Embedding& out) {
    if (auto problem = accept_string(name, value)) return problem;
    return take_input(name, value, out);
}

Problem take_dimensions(const std::string& name, const Json& value, Embedding& out) {
    if (!value.is_number_unsigned() || value > kMaxEmbeddingWidth) {
        return wrong(name, value, fmt::format("an integer from 1 to {}", kMaxEmbeddingWidth));
    }
    return take(name, value, out.asked.dimensions);
}

/// How tokens are drawn means nothing here, and is checked all the same.
Problem check_options(const std::string& name, const Json& value, Embedding& out) {
    Sampled taken;
    auto problem = take_options(name, value, taken);
    out.asked.priority = taken.generate.priority;
    return problem;
}

Problem take_embedding_keep(const std::string& name, const Json& value, Embedding& out) {
    return take_keep_alive(name, value, out.keep_alive);
}

Problem take_embedding_model(const std::string& name, const Json& value, Embedding& out) {
    return take_model(name, value, out.model);
}

constexpr Field<Embedding> kEmbedFields[] = {
    {"model", take_embedding_model},
    {"input", take_input},
    // The inputs as one text, which programs send for servers that do not know "input".
    {"prompt", [](const auto& name, const Json& v, auto&) { return accept_string(name, v); }},
    {"dimensions", take_dimensions},
    {"truncate", [](const auto& name, const Json& v, auto&) { return accept_bool(name, v); }},
    {"options", check_options},
    {"keep_alive", take_embedding_keep},
};

constexpr Field<Embedding> kOldFields[] = {
    {"model", take_embedding_model},
    {"prompt", take_prompt},
    {"options", check_options},
    {"keep_alive", take_embedding_keep},
};

template <std::size_t kCount>
std::variant<Embedding, ApiError> parse_vectors(std::string_view body,
                                                const Field<Embedding> (&fields)[kCount],
                                                const char* here) {
    Json object;
    if (auto problem = read_json(body, object)) return *std::move(problem);
    Embedding out;
    for (const auto& [name, value] : object.items()) {
        const auto* field = find_field(fields, name);
        if (field == nullptr) return unknown_field(name);
        if (auto problem = take(*field, name, value, out)) return *std::move(problem);
    }
    if (!object.contains(here)) return missing_field(here);
    out.asked.model = out.model.wanted;
    for (std::size_t i = 0; i < out.asked.inputs.size(); ++i) {
        if (auto problem = refused(out.asked.input(i), "prompt", here)) return *std::move(problem);
    }
    return out;
}

/// As JSON values the numbers would take four times the memory on their way.
std::string number_list(const std::vector<float>& vector) {
    return fmt::format("[{}]", fmt::join(vector, ","));
}

/// What both forms of answer have.
class Vectors : public ModelExchange {
  public:
    explicit Vectors(Embedding asked)
        : ModelExchange(asked.model),
          asked_(std::move(asked.asked)),
          keep_alive_(asked.keep_alive),
          vectors_(asked_.inputs.size()) {}

    std::size_t parts() const noexcept override { return asked_.inputs.size(); }
    Request request(std::size_t part) const override {
        Generate request = asked_.input(part);
        request.keep_alive = keep_alive_;
        return request;
    }
    bool generates() const noexcept override { return true; }

    Written event(std::size_t part, const Event& event) override {
        const auto* done = std::get_if<Done>(&event);
        if (done == nullptr) return unexpected_event();
        if (auto problem = openai::problem_of(*done, asked_)) return *std::move(problem);
        vectors_[part] = done->embedding;
        total_.prompt_tokens += done->prompt_tokens;
        total_.load_seconds += done->load_seconds;
        total_.queue_seconds += done->queue_seconds;
        total_.prefill_seconds += done->prefill_seconds;
        return {};
    }

  protected:
    const openai::EmbeddingRequest& asked() const noexcept { return asked_; }
    const std::vector<std::vector<float>>& vectors() const noexcept { return vectors_; }
    const Done& total() const noexcept { return total_; }

  private:
    const openai::EmbeddingRequest asked_;
    const std::int32_t keep_alive_;
    std::vector<std::vector<float>> vectors_;
    Done total_;
};

class Embeddings : public Vectors {
  public:
    using Vectors::Vectors;

    Answer end() override {
        std::string lists;
        for (const auto& vector : vectors()) {
            lists += lists.empty() ? "" : ",";
            lists += number_list(openai::unit_vector(vector, asked().dimensions));
        }
        Json times;
        add_timings(total(), times);
        return {200, fmt::format("{{\"model\":{},\"embeddings\":[{}],\"total_duration\":{},"
                                 "\"load_duration\":{},\"prompt_eval_count\":{}}}",
                                 dump(model().shown), lists, dump(times["total_duration"]),
                                 dump(times["load_duration"]), total().prompt_tokens)};
    }
};

/// One vector, which has the length that the model gave it.
class OldEmbedding : public Vectors {
  public:
    using Vectors::Vectors;

    Answer end() override {
        const auto vector = vectors().empty() ? std::vector<float>() : vectors().front();
        return {200, fmt::format("{{\"embedding\":{}}}", number_list(vector))};
    }
};

template <typename A>
Understood vectors_of(std::variant<Embedding, ApiError> parsed) {
    if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
    return std::make_unique<A>(std::get<0>(std::move(parsed)));
}

}  // namespace

std::variant<Embedding, ApiError> parse_embed(std::string_view body) {
    return parse_vectors(body, kEmbedFields, "input");
}

std::variant<Embedding, ApiError> parse_old_embedding(std::string_view body) {
    return parse_vectors(body, kOldFields, "prompt");
}

Understood embed(const Call& call) {
    return vectors_of<Embeddings>(parse_embed(call.body));
}

Understood embeddings(const Call& call) {
    return vectors_of<OldEmbedding>(parse_old_embedding(call.body));
}

}  // namespace shoal::http::ollama
