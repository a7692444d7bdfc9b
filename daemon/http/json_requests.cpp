#include "daemon/http/json_requests.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "daemon/http/json_input.hpp"

namespace shoal::http {
namespace {

using nlohmann::json;
using namespace mesh::messages;

using Problem = std::optional<ApiError>;

/// How much of a wrong value an error repeats.
constexpr std::size_t kQuotedValueBytes = 80;

std::string quoted(const json& value) {
    if (value.is_structured()) return value.is_array() ? "an array" : "an object";
    std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
    if (text.size() > kQuotedValueBytes) text = text.substr(0, kQuotedValueBytes) + "...";
    return text;
}

Problem wrong(const std::string& field, const json& value, std::string_view expected) {
    return bad_field(field, fmt::format("{} is {}; expected {}", field, quoted(value), expected));
}

Problem take(const std::string& field, const json& value, bool& out) {
    if (!value.is_boolean()) return wrong(field, value, "true or false");
    out = value.get<bool>();
    return {};
}

Problem take(const std::string& field, const json& value, std::string& out) {
    if (!value.is_string()) return wrong(field, value, "a string");
    out = value.get_ref<const std::string&>();
    return {};
}

Problem take(const std::string& field, const json& value, float& out) {
    // A double beyond float's range may not be converted; validate() then says what is allowed.
    constexpr double kMax = std::numeric_limits<float>::max();
    if (!value.is_number() || std::abs(value.get<double>()) > kMax) {
        return wrong(field, value, "a number");
    }
    out = static_cast<float>(value.get<double>());
    return {};
}

template <std::unsigned_integral T>
Problem take(const std::string& field, const json& value, T& out) {
    constexpr T kMax = std::numeric_limits<T>::max();
    // Parsed text has a negative number, and only that, as a signed integer.
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > kMax) {
        return wrong(field, value, fmt::format("an integer from 0 to {}", kMax));
    }
    out = static_cast<T>(value.get<std::uint64_t>());
    return {};
}

Problem take(const std::string& field, const json& value, std::vector<std::int32_t>& out) {
    constexpr std::uint64_t kMax = std::numeric_limits<std::int32_t>::max();
    if (!value.is_array()) return wrong(field, value, "an array of token ids");
    out.clear();
    out.reserve(value.size());
    for (std::size_t i = 0; i < value.size(); ++i) {
        if (!value[i].is_number_unsigned() || value[i].get<std::uint64_t>() > kMax) {
            Problem problem = wrong(fmt::format("{}[{}]", field, i), value[i], "a token id");
            problem->param = field;
            return problem;
        }
        out.push_back(static_cast<std::int32_t>(value[i].get<std::uint64_t>()));
    }
    return {};
}

Problem take_one_prompt(const json& value, CompletionRequest& r) {
    Prompt& prompt = r.prompts.emplace_back();
    if (value.is_string()) return take("prompt", value, prompt.text);
    if (!value.is_array() || value.empty()) {
        return wrong("prompt", value,
                     "a string, a non-empty array of token ids, or an array of one of the two");
    }
    return take("prompt", value, prompt.ids);
}

Problem take_prompt(const json& value, CompletionRequest& r) {
    r.prompts.clear();
    const bool several =
        value.is_array() && !value.empty() && (value[0].is_string() || value[0].is_array());
    if (!several) return take_one_prompt(value, r);
    if (value.size() > kMaxChoices) {
        return bad_field("prompt", fmt::format("there are {} prompts; at most {} are allowed",
                                               value.size(), kMaxChoices));
    }
    for (const json& one : value) {
        if (one.type() != value[0].type()) {
            return bad_field("prompt",
                             "the prompts are of several kinds; give texts or arrays of "
                             "token ids");
        }
        if (auto problem = take_one_prompt(one, r)) return problem;
    }
    return {};
}

Problem take_max_tokens(const json& value, CompletionRequest& r) {
    if (value == -1) return r.generate.max_tokens = 0, Problem{};
    if (!value.is_number_unsigned() || value == 0) {
        return wrong("max_tokens", value, "an integer from 1, or -1: until the model ends");
    }
    return take("max_tokens", value, r.generate.max_tokens);
}

Problem take_stop(const json& value, CompletionRequest& r) {
    r.generate.stop.clear();
    if (value.is_string()) return r.generate.stop.push_back(value.get<std::string>()), Problem{};
    const bool strings =
        value.is_array() &&
        std::all_of(value.begin(), value.end(), [](const json& s) { return s.is_string(); });
    if (!strings) return wrong("stop", value, "a string or an array of strings");
    if (value.size() > kMaxStopStrings) {
        return bad_field("stop", fmt::format("stop has {} strings; at most {} are allowed",
                                             value.size(), kMaxStopStrings));
    }
    for (const json& text : value) r.generate.stop.push_back(text.get<std::string>());
    return {};
}

Problem take_logit_bias(const json& value, CompletionRequest& r) {
    if (!value.is_object()) {
        return wrong("logit_bias", value, "an object from token ids to numbers");
    }
    auto& biases = r.generate.sampling.logit_bias;
    for (const auto& [key, entry] : value.items()) {
        std::int32_t id = 0;
        const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
        if (error != std::errc{} || end != key.data() + key.size() || id < 0) {
            return bad_field("logit_bias", fmt::format("logit_bias is for \"{}\"; expected a token "
                                                       "id",
                                                       key.substr(0, kQuotedValueBytes)));
        }
        float bias = 0;
        if (auto problem = take("logit_bias", entry, bias)) return problem;
        if (std::abs(bias) > kMaxLogitBiasValue) {
            return bad_field("logit_bias",
                             fmt::format("logit_bias of token {} is {}; allowed are values from "
                                         "{} to {}",
                                         id, bias, -kMaxLogitBiasValue, kMaxLogitBiasValue));
        }
        // Different texts may be one id: "7" and "07".
        if (!biases.emplace(id, bias).second) {
            return bad_field("logit_bias", fmt::format("logit_bias has token {} twice", id));
        }
    }
    return {};
}

Problem take_seed(const json& value, CompletionRequest& r) {
    r.seeded = true;
    std::uint64_t& seed = r.generate.sampling.seed;
    if (value.is_number_unsigned()) return seed = value.get<std::uint64_t>(), Problem{};
    // OpenAI's seeds are signed; any 64 bits will do.
    if (value.is_number_integer()) {
        return seed = static_cast<std::uint64_t>(value.get<std::int64_t>()), Problem{};
    }
    return wrong("seed", value, "an integer from -2^63 to 2^64-1");
}

Problem take_top_k(const json& value, CompletionRequest& r) {
    if (value == -1) return r.generate.sampling.top_k = 0, Problem{};  // As others say "off".
    return take("top_k", value, r.generate.sampling.top_k);
}

Problem take_n(const json& value, CompletionRequest& r) {
    if (!value.is_number_unsigned() || value == 0 || value > kMaxChoices) {
        return wrong("n", value, fmt::format("an integer from 1 to {}", kMaxChoices));
    }
    return take("n", value, r.n);
}

Problem take_suffix(const json& value) {
    if (value == "") return {};
    return bad_field("suffix", fmt::format("suffix is {}; filling in the middle of a text is not "
                                           "supported, leave it out",
                                           quoted(value)));
}

Problem take_stream_options(const json& value, CompletionRequest& r) {
    if (!value.is_object()) return wrong("stream_options", value, "an object");
    for (const auto& [key, entry] : value.items()) {
        const std::string name = "stream_options." + key.substr(0, kQuotedValueBytes);
        // Obfuscation pads chunks so that their sizes tell nothing; we send none, asked or not.
        bool ignored = false;
        if (key != "include_usage" && key != "include_obfuscation") {
            return bad_field(name, fmt::format("{} is not supported; leave it out", name));
        }
        if (auto problem = take(name, entry, key == "include_usage" ? r.include_usage : ignored)) {
            return problem;
        }
    }
    return {};
}

/// Fields that OpenAI has and we do not: accepted with the value that means nothing.
Problem take_unsupported(const std::string& name, const json& value, const json& nothing) {
    if (value == nothing) return {};
    return bad_field(name, fmt::format("{} is {}; only {} is supported, leave it out", name,
                                       quoted(value), nothing.dump()));
}

/// The fields in which null means "not given", as it does at OpenAI.
bool nullable(std::string_view name) {
    static constexpr std::string_view kNames[] = {"model",
                                                  "max_tokens",
                                                  "temperature",
                                                  "top_p",
                                                  "top_k",
                                                  "min_p",
                                                  "seed",
                                                  "stop",
                                                  "repeat_penalty",
                                                  "presence_penalty",
                                                  "logit_bias",
                                                  "user",
                                                  "frequency_penalty",
                                                  "penalty_last_n",
                                                  "stream_options",
                                                  "ignore_eos",
                                                  "stream",
                                                  "n",
                                                  "best_of",
                                                  "echo",
                                                  "logprobs",
                                                  "suffix"};
    return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

Problem take_field(const std::string& name, const json& v, CompletionRequest& r) {
    Generate& g = r.generate;
    Sampling& s = g.sampling;
    if (name == "prompt") return take_prompt(v, r);
    if (v.is_null() && nullable(name)) return {};
    if (name == "model") return take(name, v, g.model);
    if (name == "max_tokens") return take_max_tokens(v, r);
    if (name == "temperature") return take(name, v, s.temperature);
    if (name == "top_p") return take(name, v, s.top_p);
    if (name == "top_k") return take_top_k(v, r);
    if (name == "min_p") return take(name, v, s.min_p);
    if (name == "seed") return take_seed(v, r);
    if (name == "stop") return take_stop(v, r);
    if (name == "presence_penalty") return take(name, v, s.presence_penalty);
    if (name == "frequency_penalty") return take(name, v, s.frequency_penalty);
    if (name == "repeat_penalty") return take(name, v, s.repeat_penalty);
    if (name == "penalty_last_n") return take(name, v, s.penalty_last_n);
    if (name == "logit_bias") return take_logit_bias(v, r);
    if (name == "ignore_eos") return take(name, v, g.ignore_eos);
    if (name == "stream") return take(name, v, r.stream);
    if (name == "stream_options") return take_stream_options(v, r);
    if (name == "n") return take_n(v, r);
    if (name == "best_of") return {};  // With n, when that is known.
    if (name == "echo") return take_unsupported(name, v, false);
    if (name == "logprobs") return take_unsupported(name, v, nullptr);
    if (name == "suffix") return take_suffix(v);
    if (name == "user") {
        std::string ignored;  // Names the end user to OpenAI's abuse checks; nothing depends on it.
        return take(name, v, ignored);
    }
    const std::string shown = name.substr(0, kQuotedValueBytes);
    return bad_field(shown, fmt::format("the field \"{}\" is not supported; leave it out", shown));
}

/// The message begins with the field's name on the wire, which is mostly the one in the body.
ApiError named(const Failed& failed) {
    ApiError error = api_error(failed);
    const auto end = failed.message.find_first_not_of("abcdefghijklmnopqrstuvwxyz_");
    error.param = failed.message.substr(0, end);
    return error;
}

/// What concerns several fields.
Problem check_together(const json& object, CompletionRequest& r) {
    const auto given = [&](const char* name) {
        return object.contains(name) && !object[name].is_null();
    };
    if (given("stream_options") && !r.stream) {
        return bad_field("stream_options", "stream_options is for requests with \"stream\": true");
    }
    if (given("best_of") && object["best_of"] != r.n) {
        return bad_field("best_of",
                         fmt::format("best_of is {}; only the value of n, which is {}, is "
                                     "supported, leave it out",
                                     quoted(object["best_of"]), r.n));
    }
    if (r.choices() > kMaxChoices) {
        return bad_field("n", fmt::format("n is {} and there are {} prompts; at most {} texts are "
                                          "made for one request",
                                          r.n, r.prompts.size(), kMaxChoices));
    }
    // No part of the probability but the greatest: the likeliest token.
    Sampling& sampling = r.generate.sampling;
    if (sampling.top_p == 0) sampling.top_p = 1, sampling.temperature = 0;
    return {};
}

/// What validate() says, with the field's name in the body instead of that on the wire.
Problem refused(const Request& request, std::string_view on_wire, std::string_view here) {
    auto failed = validate(request, Door::http);
    if (!failed) return {};
    if (failed->message.starts_with(on_wire)) failed->message.replace(0, on_wire.size(), here);
    return named(*failed);
}

}  // namespace

Generate CompletionRequest::choice(std::size_t index) const {
    Generate request = generate;
    const Prompt& prompt = prompts[index / n];
    request.prompt = prompt.text;
    request.prompt_ids = prompt.ids;
    request.sampling.seed += seeded ? index % n : index;
    return request;
}

Parsed<CompletionRequest> parse_completion(std::string_view body) {
    json object;
    if (auto problem = read_json(body, object)) return *std::move(problem);
    CompletionRequest request;
    request.generate.max_tokens = kDefaultMaxTokens;
    for (const auto& [name, value] : object.items()) {
        if (auto problem = take_field(name, value, request)) return *std::move(problem);
    }
    if (!object.contains("prompt")) return bad_field("prompt", "prompt is missing");
    if (auto problem = check_together(object, request)) return *std::move(problem);
    for (std::size_t i = 0; i < request.prompts.size(); ++i) {
        auto problem = refused(request.choice(i * request.n), "prompt_ids", "prompt");
        if (problem) return *std::move(problem);
    }
    return request;
}

Parsed<TokenizeRequest> parse_tokenize(std::string_view body) {
    json object;
    if (auto problem = read_json(body, object)) return *std::move(problem);
    TokenizeRequest request;
    for (const auto& [name, value] : object.items()) {
        Problem problem;
        if (name == "model") {
            problem = take(name, value, request.model);
        } else if (name == "content") {
            problem = take(name, value, request.text);
        } else if (name == "add_special") {
            problem = take(name, value, request.add_special);
        } else if (name == "parse_special") {
            problem = take(name, value, request.parse_special);
        } else {
            const std::string shown = name.substr(0, kQuotedValueBytes);
            problem = bad_field(shown, fmt::format("the field \"{}\" is not supported", shown));
        }
        if (problem) return *std::move(problem);
    }
    if (!object.contains("content")) return bad_field("content", "content is missing");
    Request wire = std::move(request);
    if (auto problem = refused(wire, "text", "content")) return *std::move(problem);
    return std::get<TokenizeRequest>(std::move(wire));
}

Parsed<DetokenizeRequest> parse_detokenize(std::string_view body) {
    json object;
    if (auto problem = read_json(body, object)) return *std::move(problem);
    DetokenizeRequest request;
    for (const auto& [name, value] : object.items()) {
        Problem problem;
        if (name == "model") {
            problem = take(name, value, request.model);
        } else if (name == "tokens") {
            problem = take(name, value, request.ids);
        } else {
            const std::string shown = name.substr(0, kQuotedValueBytes);
            problem = bad_field(shown, fmt::format("the field \"{}\" is not supported", shown));
        }
        if (problem) return *std::move(problem);
    }
    if (!object.contains("tokens")) return bad_field("tokens", "tokens is missing");
    Request wire = std::move(request);
    if (auto problem = refused(wire, "ids", "tokens")) return *std::move(problem);
    return std::get<DetokenizeRequest>(std::move(wire));
}

}  // namespace shoal::http
