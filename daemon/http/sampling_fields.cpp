#include "daemon/http/sampling_fields.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "daemon/http/random_ids.hpp"

namespace shoal::http {
namespace {

using mesh::messages::kMaxPriority;
using mesh::messages::kMaxStopStrings;

Problem take_logit_bias(const std::string& name, const Json& value, Sampled& out) {
    if (!value.is_object()) return wrong(name, value, "an object from token ids to numbers");
    auto& biases = out.generate.sampling.logit_bias;
    for (const auto& [key, entry] : value.items()) {
        std::int32_t id = 0;
        const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
        if (error != std::errc{} || end != key.data() + key.size() || id < 0) {
            return bad_field(name, fmt::format("{} is for \"{}\"; expected a token id", name,
                                               key.substr(0, kQuotedValueBytes)));
        }
        float bias = 0;
        if (auto problem = take(name, entry, bias)) return problem;
        if (std::abs(bias) > kMaxLogitBiasValue) {
            return bad_field(name,
                             fmt::format("{} of token {} is {}; allowed are values from {} "
                                         "to {}",
                                         name, id, bias, -kMaxLogitBiasValue, kMaxLogitBiasValue));
        }
        // Different texts may be one id: "7" and "07".
        if (!biases.emplace(id, bias).second) {
            return bad_field(name, fmt::format("{} has token {} twice", name, id));
        }
    }
    return {};
}

Problem take_seed(const std::string& name, const Json& value, Sampled& out) {
    out.seeded = true;
    std::uint64_t& seed = out.generate.sampling.seed;
    if (value.is_number_unsigned()) return seed = value.get<std::uint64_t>(), Problem{};
    // OpenAI's seeds are signed; any 64 bits will do.
    if (value.is_number_integer()) {
        return seed = static_cast<std::uint64_t>(value.get<std::int64_t>()), Problem{};
    }
    return wrong(name, value, "an integer from -2^63 to 2^64-1");
}

Problem take_top_k(const std::string& name, const Json& value, Sampled& out) {
    std::uint32_t& top_k = out.generate.sampling.top_k;
    if (value == -1) return top_k = 0, Problem{};  // As others say "off".
    return take(name, value, top_k);
}

/// A member of Sampling that is taken as it is.
template <auto kMember>
Problem take_plain(const std::string& name, const Json& value, Sampled& out) {
    return take(name, value, out.generate.sampling.*kMember);
}

Problem take_ignore_eos(const std::string& name, const Json& value, Sampled& out) {
    return take(name, value, out.generate.ignore_eos);
}

Problem take_cache_prompt(const std::string& name, const Json& value, Sampled& out) {
    return take(name, value, out.generate.cache_prompt);
}

Problem take_generate_priority(const std::string& name, const Json& value, Sampled& out) {
    return take_priority(name, value, out.generate.priority);
}

using mesh::messages::Sampling;

constexpr Field<Sampled> kSamplingFields[] = {
    {"temperature", take_plain<&Sampling::temperature>},
    {"top_p", take_plain<&Sampling::top_p>},
    {"top_k", take_top_k},
    {"min_p", take_plain<&Sampling::min_p>},
    {"seed", take_seed},
    {"stop", take_stop},
    {"repeat_penalty", take_plain<&Sampling::repeat_penalty>},
    {"presence_penalty", take_plain<&Sampling::presence_penalty>},
    {"frequency_penalty", take_plain<&Sampling::frequency_penalty>},
    {"penalty_last_n", take_plain<&Sampling::penalty_last_n>},
    {"logit_bias", take_logit_bias},
    {"ignore_eos", take_ignore_eos},
    {"priority", take_generate_priority},
    {"cache_prompt", take_cache_prompt},
};

}  // namespace

const Field<Sampled>* sampling_field(std::string_view name) noexcept {
    return find_field(kSamplingFields, name);
}

void settle(Sampled& sampled) {
    Sampling& sampling = sampled.generate.sampling;
    // No part of the probability but the greatest: the likeliest token.
    if (sampling.top_p == 0) sampling.top_p = 1, sampling.temperature = 0;
    if (!sampled.seeded) sampling.seed = random_seed();
}

Problem take_priority(const std::string& name, const Json& value, std::int32_t& out) {
    // Parsed text has a negative number, and only that, as a signed integer.
    const bool allowed = value.is_number_unsigned()
                             ? value.get<std::uint64_t>() <= std::uint64_t{kMaxPriority}
                             : value.is_number_integer() && value >= -kMaxPriority;
    if (!allowed) {
        return wrong(name, value,
                     fmt::format("an integer from {} to {}", -kMaxPriority, kMaxPriority));
    }
    out = value.get<std::int32_t>();
    return {};
}

Problem take_stop(const std::string& name, const Json& value, Sampled& out) {
    std::vector<std::string>& stop = out.generate.stop;
    stop.clear();
    if (value.is_string()) return stop.push_back(value.get<std::string>()), Problem{};
    const bool strings =
        value.is_array() &&
        std::all_of(value.begin(), value.end(), [](const Json& s) { return s.is_string(); });
    if (!strings) return wrong(name, value, "a string or an array of strings");
    if (value.size() > kMaxStopStrings) {
        return bad_field(name, fmt::format("{} has {} strings; at most {} are allowed", name,
                                           value.size(), kMaxStopStrings));
    }
    for (const Json& text : value) stop.push_back(text.get<std::string>());
    return {};
}

}  // namespace shoal::http
