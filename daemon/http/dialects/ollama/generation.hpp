// What /api/chat and /api/generate have in common.
#pragma once

#include <optional>
#include <string>

#include "daemon/chat/conversation.hpp"
#include "daemon/http/dialects/ollama/models.hpp"
#include "daemon/http/sampling_fields.hpp"

namespace shoal::http::ollama {

struct Generation : Sampled {
    /// With Ollama's defaults where they are not ours.
    Generation() { generate.sampling.top_p = 0.9F, generate.sampling.min_p = 0; }

    ModelName model;
    bool stream = true;
    bool load = false;            ///< nothing is to be answered: the model is made ready, or goes
    std::string template_kwargs;  ///< of "think"
    bool logprobs = false;
    std::optional<std::uint32_t> top_logprobs;
};

/// Takes model, stream, options, format, think, keep_alive and logprobs. False: it is none of
/// these.
bool take_common(const std::string& name, const Json& value, Generation& out, Problem& problem);

/// A duration as "5m" or in seconds; `seconds` is rounded up, or -1 of a negative one.
Problem take_keep_alive(const std::string& name, const Json& value, std::int32_t& seconds);

/// Makes the request one for an answer in the conversation.
Problem use_conversation(chat::Conversation conversation, Generation& out);
/// Makes the request one that only has the model loaded, or unloaded where keep_alive is 0.
Problem use_load(Generation& out);
/// What concerns several fields; `here` is what the prompt is called in the body.
Problem check_common(Generation& out, std::string_view on_wire, std::string_view here);

}  // namespace shoal::http::ollama
