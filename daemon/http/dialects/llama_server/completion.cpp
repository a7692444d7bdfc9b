#include "daemon/http/dialects/llama_server/completion.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "daemon/http/json_output.hpp"
#include "daemon/http/other_samplers.hpp"

namespace shoal::http::llama_server {
namespace {

using namespace mesh::messages;

struct CompletionDraft : CompletionRequest {
    std::optional<std::string> grammar, schema;
    std::string prefix;  ///< of a text to fill in
};

Problem take_prompt(const std::string& name, const Json& value, CompletionDraft& r) {
    if (value.is_string()) return take(name, value, r.generate.prompt);
    const auto text = [](const Json& part) { return part.is_string(); };
    if (value.is_array() && std::any_of(value.begin(), value.end(), text)) {
        return bad_field(name, fmt::format("{} has several texts, or texts among token ids; give "
                                           "one text, or ids alone",
                                           name));
    }
    if (!value.is_array() || value.empty()) {
        return wrong(name, value, "a string or a non-empty array of token ids");
    }
    return take(name, value, r.generate.prompt_ids);
}

Problem take_n_predict(const std::string& name, const Json& value, CompletionDraft& r) {
    // -2, until the context is full, is what ends an answer anyway.
    if (value == -1 || value == -2) return r.generate.max_tokens = 0, Problem{};
    if (!value.is_number_unsigned()) {
        return wrong(name, value, "an integer from 0, or -1: until the model ends");
    }
    r.generate.task = value == 0 ? Task::read : Task::answer;
    return take(name, value, r.generate.max_tokens);
}

/// -1: all that the context has.
Problem take_last_n(const std::string& name, const Json& value, CompletionDraft& r) {
    std::uint32_t& last = r.generate.sampling.penalty_last_n;
    if (value == -1) return last = std::numeric_limits<std::uint32_t>::max(), Problem{};
    return take(name, value, last);
}

Problem take_seed(const std::string& name, const Json& value, CompletionDraft& r) {
    // Both are how a random one is asked for.
    if (value == -1 || value == std::numeric_limits<std::uint32_t>::max()) return {};
    return take<Sampled>(*sampling_field("seed"), name, value, r);
}

Problem take_grammar(const std::string& name, const Json& value, CompletionDraft& r) {
    if (value == "") return {};
    return take(name, value, r.grammar.emplace());
}

Problem take_schema(const std::string& name, const Json& value, CompletionDraft& r) {
    if (!value.is_object()) return wrong(name, value, "a JSON schema, which is an object");
    r.schema = dump(value);
    return {};
}

/// What is up to this server: where it computes, and what it remembers.
Problem skip(const std::string& name, const Json& value, CompletionDraft&) {
    if (value.is_number() || value.is_boolean()) return {};
    return wrong(name, value, "a number, or true or false");
}

Problem take_no_extra(const std::string& name, const Json& value, CompletionDraft&) {
    if (value.is_array() && value.empty()) return {};
    return bad_field(name, fmt::format("{} is not supported; leave it out", name));
}

Problem take_no_scores(const std::string& name, const Json& value, CompletionDraft&) {
    if (value == 0) return {};
    return bad_field(name, fmt::format("{} is {}; scores of tokens are given by /v1/completions, "
                                       "with logprobs",
                                       name, quoted(value)));
}

constexpr Field<CompletionDraft> kCommonFields[] = {
    {"model",
     [](const auto& name, const Json& v, auto& r) { return take(name, v, r.generate.model); }},
    {"n_predict", take_n_predict},
    {"stream", [](const auto& name, const Json& v, auto& r) { return take(name, v, r.stream); }},
    {"return_tokens",
     [](const auto& name, const Json& v, auto& r) { return take(name, v, r.return_tokens); }},
    {"seed", take_seed},
    {"repeat_last_n", take_last_n},
    {"grammar", take_grammar},
    {"json_schema", take_schema},
    {"n_probs", take_no_scores},
    {"n_keep", skip},
    {"id_slot", skip},
    {"timings_per_token", skip},
    {"lora", take_no_extra},
};

constexpr Field<CompletionDraft> kCompletionFields[] = {
    {"prompt", take_prompt, false},
};

constexpr Field<CompletionDraft> kInfillFields[] = {
    {"input_prefix",
     [](const auto& name, const Json& v, auto& r) { return take(name, v, r.prefix); }, false},
    {"input_suffix",
     [](const auto& name, const Json& v, auto& r) { return take(name, v, r.generate.suffix); },
     false},
    {"prompt",
     [](const auto& name, const Json& v, auto& r) { return take(name, v, r.generate.prompt); }},
    {"input_extra", take_no_extra},
};

Problem take_common(const std::string& name, const Json& value, CompletionDraft& r) {
    if (const auto* field = find_field(kCommonFields, name)) return take(*field, name, value, r);
    if (const auto* field = sampling_field(name)) return take<Sampled>(*field, name, value, r);
    Problem problem;
    if (!take_other_sampler(name, value, problem)) return unknown_field(name);
    return problem;
}

Problem check_form(CompletionDraft& r) {
    Constraint& constraint = r.generate.constraint;
    if (r.grammar && r.schema) {
        return bad_field("grammar", "grammar and json_schema are both given; give one");
    }
    if (r.grammar) constraint = {Constraint::Kind::gbnf, *std::move(r.grammar)};
    if (r.schema) constraint = {Constraint::Kind::json_schema, *std::move(r.schema)};
    return {};
}

template <std::size_t kCount>
std::variant<CompletionRequest, ApiError> parse_fields(
    std::string_view body, const Field<CompletionDraft> (&fields)[kCount]) {
    Json object;
    if (auto problem = read_json(body, object)) return *std::move(problem);
    CompletionDraft draft;
    for (const auto& [name, value] : object.items()) {
        const auto* field = find_field(fields, name);
        auto problem =
            field != nullptr ? take(*field, name, value, draft) : take_common(name, value, draft);
        if (problem) return *std::move(problem);
    }
    for (const auto& field : fields) {
        const std::string name(field.name);
        if (!field.null_is_absent && !object.contains(name)) return missing_field(name);
    }
    if (auto problem = check_form(draft)) return *std::move(problem);
    draft.generate.prompt.insert(0, draft.prefix);
    settle(draft);
    if (auto problem = refused(draft.generate, "prompt_ids", "prompt")) return *std::move(problem);
    return static_cast<CompletionRequest&&>(std::move(draft));
}

}  // namespace

std::variant<CompletionRequest, ApiError> parse_completion(std::string_view body) {
    return parse_fields(body, kCompletionFields);
}

std::variant<CompletionRequest, ApiError> parse_infill(std::string_view body) {
    return parse_fields(body, kInfillFields);
}

}  // namespace shoal::http::llama_server
