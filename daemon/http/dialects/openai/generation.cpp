#include "daemon/http/dialects/openai/generation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

#include "daemon/http/random_ids.hpp"

namespace shoal::http::openai {
namespace {

using mesh::messages::Done;
using mesh::messages::StopReason;

Problem take_model(const std::string& name, const Json& value, Generation& out) {
    return take(name, value, out.generate.model);
}

Problem take_n(const std::string& name, const Json& value, Generation& out) {
    if (!value.is_number_unsigned() || value == 0 || value > kMaxChoices) {
        return wrong(name, value, fmt::format("an integer from 1 to {}", kMaxChoices));
    }
    return take(name, value, out.n);
}

Problem take_stream(const std::string& name, const Json& value, Generation& out) {
    return take(name, value, out.stream);
}

Problem take_stream_options(const std::string& name, const Json& value, Generation& out) {
    if (!value.is_object()) return wrong(name, value, "an object");
    for (const auto& [key, entry] : value.items()) {
        const std::string full = name + "." + key.substr(0, kQuotedValueBytes);
        // Obfuscation pads chunks so that their sizes tell nothing; we send none, asked or not.
        bool ignored = false;
        if (key != "include_usage" && key != "include_obfuscation") {
            return bad_field(full, fmt::format("{} is not supported; leave it out", full));
        }
        if (auto problem =
                take(full, entry, key == "include_usage" ? out.include_usage : ignored)) {
            return problem;
        }
    }
    return {};
}

constexpr Field<Generation> kCommonFields[] = {
    {"model", take_model},
    {"n", take_n},
    {"stream", take_stream},
    {"stream_options", take_stream_options},
};

struct Ignored {
    std::string_view name;
    Problem (*accept)(const std::string& name, const Json& value);
};
/// Who asks and what is kept, for OpenAI's stores, caches and checks of abuse.
constexpr Ignored kIgnored[] = {
    {"user", accept_string},
    {"metadata", accept_object},
    {"store", accept_bool},
    {"service_tier", accept_string},
    {"safety_identifier", accept_string},
    {"prompt_cache_key", accept_string},
    {"prompt_cache_retention", accept_string},
};

/// "prompt_n", "prompt_ms", "prompt_per_token_ms", "prompt_per_second", and of what was predicted.
void add_speed(Json& out, const std::string& of, std::uint32_t tokens, double seconds) {
    out[of + "_n"] = tokens;
    out[of + "_ms"] = seconds * 1000;
    out[of + "_per_token_ms"] = tokens > 0 ? seconds * 1000 / tokens : 0;
    out[of + "_per_second"] = seconds > 0 ? tokens / seconds : 0;
}

}  // namespace

bool take_ignored(const std::string& name, const Json& value, Problem& problem) {
    for (const Ignored& field : kIgnored) {
        if (field.name != name) continue;
        if (!is_null(value)) problem = field.accept(name, value);
        return true;
    }
    return false;
}

bool take_common(const std::string& name, const Json& value, Generation& out, Problem& problem) {
    if (const auto* field = find_field(kCommonFields, name)) {
        problem = take(*field, name, value, out);
        return true;
    }
    if (const auto* field = sampling_field(name)) {
        problem = take<Sampled>(*field, name, value, out);
        return true;
    }
    return take_ignored(name, value, problem);
}

Problem check_common(const Json& object, Generation& generation) {
    if (given(object, "stream_options") && !generation.stream) {
        return bad_field("stream_options", "stream_options is for requests with \"stream\": true");
    }
    settle(generation);
    return {};
}

Head head_of(std::string_view id_prefix, const Generation& generation) {
    return {random_id(id_prefix), std::time(nullptr), generation.generate.model,
            generation.include_usage};
}

void add_to_total(Done& total, const Done& done, bool counts_prompt) {
    if (counts_prompt) {
        total.prompt_tokens += done.prompt_tokens;
        total.cached_tokens += done.cached_tokens;
    }
    total.generated_tokens += done.generated_tokens;
    total.reasoning_tokens += done.reasoning_tokens;
    total.load_seconds += done.load_seconds;
    total.queue_seconds += done.queue_seconds;
    total.prefill_seconds += done.prefill_seconds;
    total.decode_seconds += done.decode_seconds;
    total.devices = std::max(total.devices, done.devices);
    total.model = done.model;
}

const char* finish_reason(StopReason reason) noexcept {
    switch (reason) {
        case StopReason::length:
            return "length";
        case StopReason::end:
        case StopReason::stop:
        case StopReason::cancelled:
            break;
    }
    return "stop";
}

Json usage(const Done& total) {
    return {{"prompt_tokens", total.prompt_tokens},
            {"completion_tokens", total.generated_tokens},
            {"total_tokens", std::uint64_t{total.prompt_tokens} + total.generated_tokens},
            {"prompt_tokens_details", {{"cached_tokens", total.cached_tokens}}},
            {"completion_tokens_details", {{"reasoning_tokens", total.reasoning_tokens}}}};
}

Json speeds(const Done& done) {
    Json out = {{"cache_n", done.cached_tokens}};
    add_speed(out, "prompt", done.prompt_tokens - done.cached_tokens, done.prefill_seconds);
    add_speed(out, "predicted", done.generated_tokens, done.decode_seconds);
    return out;
}

Json timings(const Done& done) {
    Json out = {{"load_seconds", done.load_seconds},
                {"queue_seconds", done.queue_seconds},
                {"prefill_seconds", done.prefill_seconds},
                {"decode_seconds", done.decode_seconds},
                {"devices", done.devices}};
    out.update(speeds(done));
    return out;
}

}  // namespace shoal::http::openai
