#include "daemon/http/dialects/ollama/options.hpp"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "daemon/http/other_samplers.hpp"

namespace shoal::http::ollama {
namespace {

/// -1: until the model ends; -2: until its context is full, which ends it here, too.
Problem take_num_predict(const std::string& name, const Json& value, Sampled& out) {
    if (value == -1 || value == -2) return out.generate.max_tokens = 0, Problem{};
    if (!value.is_number_unsigned()) {
        return wrong(name, value, "an integer from 0, -1 or -2: until the model ends");
    }
    return take(name, value, out.generate.max_tokens);
}

/// -1: all that the context has.
Problem take_repeat_last_n(const std::string& name, const Json& value, Sampled& out) {
    std::uint32_t& last = out.generate.sampling.penalty_last_n;
    if (value == -1) return last = std::numeric_limits<std::uint32_t>::max(), Problem{};
    return take(name, value, last);
}

/// -1: a random one.
Problem take_seed(const std::string& name, const Json& value, Sampled& out) {
    if (value == -1) return {};
    return take<Sampled>(*sampling_field("seed"), name, value, out);
}

/// What is decided by the devices' settings and by the model.
Problem skip(const std::string& name, const Json& value, Sampled&) {
    if (value.is_boolean() || value.is_number()) return {};
    return wrong(name, value, "a number, or true or false");
}

/// What a model may be loaded for instead of answers.
Problem take_off(const std::string& name, const Json& value, Sampled&) {
    if (value == false) return {};
    return wrong(name, value, "false, which alone is supported");
}

constexpr Field<Sampled> kOptionFields[] = {
    {"num_predict", take_num_predict},
    {"repeat_last_n", take_repeat_last_n},
    {"seed", take_seed},
    {"num_ctx", skip},
    {"num_keep", skip},
    {"num_batch", skip},
    {"num_gpu", skip},
    {"main_gpu", skip},
    {"num_thread", skip},
    {"num_gqa", skip},
    {"numa", skip},
    {"low_vram", skip},
    {"f16_kv", skip},
    {"use_mmap", skip},
    {"use_mlock", skip},
    {"penalize_newline", skip},
    {"logits_all", take_off},
    {"vocab_only", take_off},
    {"embedding_only", take_off},
};

Problem take_option(const std::string& name, const Json& value, Sampled& out) {
    if (const auto* field = find_field(kOptionFields, name)) return take(*field, name, value, out);
    if (const auto* field = sampling_field(name)) return take<Sampled>(*field, name, value, out);
    Problem problem;
    if (take_other_sampler(name, value, problem)) return problem;
    const std::string full = "options." + name.substr(0, kQuotedValueBytes);
    return bad_field(full, fmt::format("{} is not supported; leave it out", full));
}

}  // namespace

Problem take_options(const std::string& name, const Json& value, Sampled& out) {
    if (!value.is_object()) return wrong(name, value, "an object");
    for (const auto& [key, member] : value.items()) {
        if (auto problem = take_option(key, member, out)) return problem;
    }
    return {};
}

}  // namespace shoal::http::ollama
