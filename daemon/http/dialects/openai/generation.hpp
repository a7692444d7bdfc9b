// What OpenAI's requests for answers have in common, and so their answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "daemon/http/json_fields.hpp"
#include "daemon/http/sampling_fields.hpp"

namespace shoal::http::openai {

/// Texts that one request may ask for.
inline constexpr std::size_t kMaxChoices = 64;

struct Generation : Sampled {
    std::uint32_t n = 1;
    bool stream = false;
    bool include_usage = false;
};

/// Takes the field if nothing of an answer depends on it here: user, metadata... False: it is none
/// of these.
bool take_ignored(const std::string& name, const Json& value, Problem& problem);
/// The same of these, of model, n, stream and stream_options, and of how tokens are drawn.
bool take_common(const std::string& name, const Json& value, Generation& out, Problem& problem);
/// What concerns several fields of `object`.
Problem check_common(const Json& object, Generation& generation);

/// What all parts of one answer have in common.
struct Head {
    std::string id;            ///< "cmpl-" and random digits
    std::int64_t created = 0;  ///< seconds since 1970
    std::string model;         ///< as asked for, until the first token brings the model's name
    bool include_usage = false;
};
Head head_of(std::string_view id_prefix, const Generation& generation);

/// A prompt counts once, however many choices are made of it; times add up.
void add_to_total(mesh::messages::Done& total, const mesh::messages::Done& done,
                  bool counts_prompt);

const char* finish_reason(mesh::messages::StopReason reason) noexcept;
Json usage(const mesh::messages::Done& total);
/// What an answer took, by the names of llama.cpp's server: milliseconds, tokens in a second.
Json speeds(const mesh::messages::Done& done);
/// The same, after our own names.
Json timings(const mesh::messages::Done& done);

}  // namespace shoal::http::openai
