#include "daemon/http/dialects/openai/completions.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/http/dialects/openai/chat_tools.hpp"

namespace shoal::http::openai {
namespace {

using namespace mesh::messages;

/// As at OpenAI.
constexpr std::uint32_t kMaxCompletionLogprobs = 5;

Problem take_prompt(const std::string& name, const Json& value, CompletionRequest& r) {
    return take_prompts(name, value, kMaxChoices, r.prompts);
}

Problem take_max_tokens(const std::string& name, const Json& value, CompletionRequest& r) {
    if (value == -1) return r.generate.max_tokens = 0, Problem{};
    if (!value.is_number_unsigned()) {
        return wrong(name, value, "an integer from 0, or -1: until the model ends");
    }
    // The prompt alone is of interest, with echo or for how long it is.
    if (value == 0) r.generate.task = Task::read;
    return take(name, value, r.generate.max_tokens);
}

Problem take_suffix(const std::string& name, const Json& value, CompletionRequest& r) {
    return take(name, value, r.generate.suffix);
}

Problem take_echo(const std::string& name, const Json& value, CompletionRequest& r) {
    return take(name, value, r.echo);
}

Problem take_logprobs(const std::string& name, const Json& value, CompletionRequest& r) {
    if (!value.is_number_unsigned() || value > kMaxCompletionLogprobs) {
        return wrong(name, value, fmt::format("an integer from 0 to {}", kMaxCompletionLogprobs));
    }
    return take(name, value, r.logprobs.emplace());
}

Problem take_best_of(const std::string& name, const Json& value, CompletionRequest& r) {
    if (!value.is_number_unsigned() || value == 0 || value > kMaxChoices) {
        return wrong(name, value, fmt::format("an integer from 1 to {}", kMaxChoices));
    }
    return take(name, value, r.best_of);
}

/// As other servers have it here.
Problem take_form(const std::string& name, const Json& value, CompletionRequest& r) {
    return take_constraint(name, value, r.generate.constraint);
}

constexpr Field<CompletionRequest> kCompletionFields[] = {
    {"prompt", take_prompt, false}, {"max_tokens", take_max_tokens},
    {"suffix", take_suffix},        {"echo", take_echo},
    {"logprobs", take_logprobs},    {"best_of", take_best_of},
    {"grammar", take_form},         {"response_format", take_form},
};

Problem take_completion_field(const std::string& name, const Json& value, CompletionRequest& r) {
    if (const auto* field = find_field(kCompletionFields, name))
        return take(*field, name, value, r);
    Problem problem;
    if (!take_common(name, value, r, problem)) return unknown_field(name);
    return problem;
}

Problem check_choices(CompletionRequest& r) {
    if (r.best_of == 0) r.best_of = r.n;
    if (r.best_of < r.n) {
        return bad_field("best_of", fmt::format("best_of is {} and n is {}; more texts cannot be "
                                                "given than are made",
                                                r.best_of, r.n));
    }
    if (r.chooses() && r.stream) {
        return bad_field("best_of",
                         fmt::format("best_of is {} and n is {}; which texts are the best is known "
                                     "at the end, so leave out \"stream\"",
                                     r.best_of, r.n));
    }
    if (r.texts() <= kMaxChoices) return {};
    const char* const field = r.chooses() ? "best_of" : "n";
    return bad_field(field, fmt::format("{} is {} and there are {} prompts; at most {} texts are "
                                        "made for one request",
                                        field, r.best_of, r.prompts.size(), kMaxChoices));
}

/// What must be known of tokens for what is asked.
void want_scores(CompletionRequest& r) {
    Generate& g = r.generate;
    if (r.logprobs) g.logprobs = 1 + *r.logprobs;
    if (r.chooses()) g.logprobs = std::max(g.logprobs, 1U);
    if (!r.echo) return;
    const bool as_ids = std::any_of(r.prompts.begin(), r.prompts.end(),
                                    [](const Prompt& prompt) { return !prompt.ids.empty(); });
    // The tokens' texts come with their scores alone.
    if (!r.logprobs && !as_ids) return;
    g.logprobs = std::max(g.logprobs, 1U);
    g.prompt_logprobs = true;
}

}  // namespace

Generate CompletionRequest::text(std::size_t index) const {
    Generate request = generate;
    const Prompt& prompt = prompts[index / best_of];
    request.prompt = prompt.text;
    request.prompt_ids = prompt.ids;
    request.sampling.seed += seeded ? index % best_of : index;
    return request;
}

std::variant<CompletionRequest, ApiError> parse_completion(std::string_view body) {
    Json object;
    if (auto problem = read_json(body, object)) return *std::move(problem);
    CompletionRequest request;
    request.generate.max_tokens = kDefaultMaxTokens;
    for (const auto& [name, value] : object.items()) {
        if (auto problem = take_completion_field(name, value, request)) return *std::move(problem);
    }
    if (!object.contains("prompt")) return missing_field("prompt");
    if (auto problem = check_common(object, request)) return *std::move(problem);
    if (auto problem = check_choices(request)) return *std::move(problem);
    want_scores(request);
    for (std::size_t i = 0; i < request.prompts.size(); ++i) {
        auto problem = refused(request.text(i * request.best_of), "prompt_ids", "prompt");
        if (problem) return *std::move(problem);
    }
    return request;
}

}  // namespace shoal::http::openai
