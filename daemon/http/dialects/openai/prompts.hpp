// Prompts as OpenAI writes them: a text, token ids, or a list of either.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/http/json_fields.hpp"

namespace shoal::http::openai {

/// A text, or token ids.
struct Prompt {
    std::string text;
    std::vector<std::int32_t> ids;
};

/// At most `most` of them.
Problem take_prompts(const std::string& name, const Json& value, std::size_t most,
                     std::vector<Prompt>& out);

}  // namespace shoal::http::openai
