#include "daemon/http/dialects/openai/prompts.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace shoal::http::openai {
namespace {

Problem take_one(const std::string& name, const Json& value, Prompt& prompt) {
    if (value.is_string()) return take(name, value, prompt.text);
    if (!value.is_array() || value.empty()) {
        return wrong(name, value,
                     "a string, a non-empty array of token ids, or an array of one of the two");
    }
    return take(name, value, prompt.ids);
}

}  // namespace

Problem take_prompts(const std::string& name, const Json& value, std::size_t most,
                     std::vector<Prompt>& out) {
    out.clear();
    const bool several =
        value.is_array() && !value.empty() && (value[0].is_string() || value[0].is_array());
    if (!several) return take_one(name, value, out.emplace_back());
    if (value.size() > most) {
        return bad_field(name, fmt::format("there are {} {}s; at most {} are allowed", value.size(),
                                           name, most));
    }
    for (const Json& one : value) {
        if (one.type() != value[0].type()) {
            return bad_field(name,
                             fmt::format("the {}s are of several kinds; give texts or arrays of "
                                         "token ids",
                                         name));
        }
        if (auto problem = take_one(name, one, out.emplace_back())) return problem;
    }
    return {};
}

}  // namespace shoal::http::openai
