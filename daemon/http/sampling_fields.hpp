// How tokens are to be drawn, and when: the fields by which most APIs say it alike.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/http/json_fields.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal::http {

/// What logit_bias may add to a token; the same is meant everywhere by the greatest value.
inline constexpr float kMaxLogitBiasValue = 100;

/// A generation as it is being understood.
struct Sampled {
    mesh::messages::Generate generate;
    bool seeded = false;  ///< false: the seed is drawn by settle()
};

/// temperature, top_p, top_k, min_p, seed, stop, the penalties, logit_bias, ignore_eos,
/// priority, cache_prompt.
const Field<Sampled>* sampling_field(std::string_view name) noexcept;

/// What concerns several of them: top_p 0 is the likeliest token, no seed is a random one.
void settle(Sampled& sampled);

/// As vLLM's server has it: the lower, the earlier.
Problem take_priority(const std::string& name, const Json& value, std::int32_t& out);
/// A string or an array of strings.
Problem take_stop(const std::string& name, const Json& value, Sampled& out);

}  // namespace shoal::http
