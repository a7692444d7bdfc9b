// The values that requests may have. What a door lets through is decided here too.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "mesh/messages/requests.hpp"

namespace shoal::mesh::messages {
namespace {

using Problem = std::optional<Failed>;

constexpr float kMaxTemperature = 100;
constexpr float kMinRepeatPenalty = 0.01F, kMaxRepeatPenalty = 100;
constexpr float kMaxPenalty = 2;
/// An id takes five bytes on the wire at most; fields and heads fit the rest.
constexpr std::size_t kIdBytes = 5;
constexpr std::size_t kOtherBytes = 64u << 10;
/// How much of a wrong name an error repeats.
constexpr std::size_t kQuotedBytes = 80;

template <typename... Args>
Failed bad(fmt::format_string<Args...> text, Args&&... args) {
    return {ErrorCode::bad_request, fmt::format(text, std::forward<Args>(args)...)};
}

Problem in_range(std::string_view field, float value, float low, float high) {
    if (value >= low && value <= high) return {};  // Also false for NaN.
    return bad("{} is {}; allowed are values from {} to {}", field, value, low, high);
}

Problem at_most(std::string_view field, std::size_t size, std::size_t limit,
                std::string_view unit) {
    if (size <= limit) return {};
    return bad("{} has {} {}; at most {} are allowed", field, size, unit, limit);
}

Problem check_ids(std::string_view field, const std::vector<std::int32_t>& ids) {
    if (auto problem = at_most(field, ids.size(), kMaxPromptTokens, "tokens")) return problem;
    const auto wrong = std::find_if(ids.begin(), ids.end(), [](std::int32_t id) { return id < 0; });
    if (wrong == ids.end()) return {};
    return bad("{}[{}] is {}; token ids start at 0", field, wrong - ids.begin(), *wrong);
}

/// Everything printable: bytes beyond what a terminal can show safely become dots.
std::string quote(std::string_view text) {
    std::string out(text.substr(0, kQuotedBytes));
    for (char& c : out) {
        if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7F) c = '.';
    }
    return out + (text.size() > kQuotedBytes ? "..." : "");
}

Problem check_model(const std::string& model, Door door) {
    if (auto problem = at_most("model", model.size(), kMaxModelBytes, "bytes")) return problem;
    const bool control = std::any_of(model.begin(), model.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
    });
    if (control) return bad("model \"{}\" holds control characters", quote(model));
    const bool path =
        model.find('/') != std::string::npos || model.starts_with('.') || model.starts_with('~');
    if (path && door != Door::control) {
        return Failed{ErrorCode::forbidden,
                      fmt::format("model \"{}\" is a path; paths are for the command line on the "
                                  "device itself, give a name from the list of models",
                                  quote(model))};
    }
    return {};
}

Problem check_sampling(const Sampling& s) {
    if (auto p = in_range("temperature", s.temperature, 0, kMaxTemperature)) return p;
    if (!(s.top_p > 0 && s.top_p <= 1)) {
        return bad("top_p is {}; allowed are values above 0 and up to 1 (1 is off)", s.top_p);
    }
    if (auto p = in_range("min_p", s.min_p, 0, 1)) return p;
    if (auto p =
            in_range("repeat_penalty", s.repeat_penalty, kMinRepeatPenalty, kMaxRepeatPenalty)) {
        return p;
    }
    if (auto p = in_range("presence_penalty", s.presence_penalty, -kMaxPenalty, kMaxPenalty)) {
        return p;
    }
    if (auto p = in_range("frequency_penalty", s.frequency_penalty, -kMaxPenalty, kMaxPenalty)) {
        return p;
    }
    if (auto p = at_most("logit_bias", s.logit_bias.size(), kMaxLogitBias, "entries")) return p;
    for (const auto& [id, bias] : s.logit_bias) {
        if (id < 0) return bad("logit_bias is for token {}; token ids start at 0", id);
        if (!std::isfinite(bias)) {
            return bad("logit_bias of token {} is {}; allowed are finite values", id, bias);
        }
    }
    return {};
}

Problem check_constraint(const Generate& g) {
    if (auto p = at_most("grammar", g.constraint.text.size(), kMaxGrammarBytes, "bytes")) return p;
    if (g.constraint.kind != Constraint::Kind::none && g.task != Task::answer) {
        return bad("a grammar is for answers, and this request asks for none");
    }
    if (g.logprobs > kMaxLogprobs) {
        return bad("logprobs of {} tokens are asked for; at most {} are given", g.logprobs,
                   kMaxLogprobs);
    }
    if (g.prompt_logprobs && g.logprobs == 0) {
        return bad("prompt_logprobs needs logprobs: of how many tokens they are wanted");
    }
    return {};
}

Problem check(const Generate& g, Door door) {
    if (auto p = check_model(g.model, door)) return p;
    if (auto p = at_most("prompt", g.prompt.size(), kMaxPromptBytes, "bytes")) return p;
    if (auto p = check_ids("prompt_ids", g.prompt_ids)) return p;
    if (auto p = check_ids("resume_ids", g.resume_ids)) return p;
    if (auto p = at_most("chat", g.chat.size(), kMaxChatBytes, "bytes")) return p;
    if (auto p = at_most("suffix", g.suffix.size(), kMaxPromptBytes, "bytes")) return p;
    if (auto p = check_constraint(g)) return p;
    const std::size_t together = g.prompt.size() + g.chat.size() + g.suffix.size() +
                                 g.constraint.text.size() +
                                 kIdBytes * (g.prompt_ids.size() + g.resume_ids.size());
    if (together > kMaxRequestBytes - kOtherBytes) {
        return bad(
            "prompt, suffix, grammar and tokens so far have {} bytes together; at most {} are "
            "allowed",
            together, kMaxRequestBytes - kOtherBytes);
    }
    if (g.priority < -kMaxPriority || g.priority > kMaxPriority) {
        return bad("priority is {}; allowed are values from {} to {}", g.priority, -kMaxPriority,
                   kMaxPriority);
    }
    if (auto p = at_most("stop", g.stop.size(), kMaxStopStrings, "strings")) return p;
    for (std::size_t i = 0; i < g.stop.size(); ++i) {
        if (g.stop[i].empty()) return bad("stop[{}] is empty; leave it out", i);
        if (g.stop[i].size() > kMaxStopBytes) {
            return bad("stop[{}] has {} bytes; at most {} are allowed", i, g.stop[i].size(),
                       kMaxStopBytes);
        }
    }
    return check_sampling(g.sampling);
}

Problem check(const TokenizeRequest& t, Door door) {
    if (auto p = check_model(t.model, door)) return p;
    if (auto p = at_most("chat", t.chat.size(), kMaxChatBytes, "bytes")) return p;
    return at_most("text", t.text.size(), kMaxPromptBytes, "bytes");
}

Problem check(const DescribeRequest& d, Door door) {
    return check_model(d.model, door);
}

Problem check(const DetokenizeRequest& d, Door door) {
    if (auto p = check_model(d.model, door)) return p;
    return check_ids("ids", d.ids);
}

Problem check(const LoadRequest& l, Door door) {
    // A device asks the root for its own command line.
    if (door == Door::http) {
        return Failed{ErrorCode::forbidden,
                      "loading a model is for the command line on the device itself"};
    }
    if (l.model.empty()) return bad("model is empty; name the model to load");
    return check_model(l.model, door);
}

Problem check(const UnloadRequest& u, Door door) {
    if (u.model.empty()) return bad("model is empty; name the model to unload");
    return check_model(u.model, door);
}

Problem check(const PlanRequest& p, Door door) {
    if (door == Door::http) {
        return Failed{ErrorCode::forbidden,
                      "predicting plans is for the command line on the device itself"};
    }
    if (p.devices > kMaxListedDevices) {
        return bad("devices is {}; at most {} are allowed", p.devices, kMaxListedDevices);
    }
    return check_model(p.model, door);
}

Problem check(const BenchRequest&, Door door) {
    if (door == Door::control) return {};
    return Failed{ErrorCode::forbidden,
                  "measuring a device is for the command line on the device itself"};
}

Problem for_control_alone(Door door) {
    if (door == Door::control) return {};
    return Failed{ErrorCode::forbidden,
                  "who is in the cluster is decided on the command line of a device alone"};
}

Problem check_device(std::string_view field, const std::string& text) {
    if (text.empty()) return bad("{} is empty", field);
    if (auto p = at_most(field, text.size(), kMaxDeviceNameBytes, "bytes")) return p;
    const bool control = std::any_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
    });
    if (control) return bad("{} \"{}\" holds control characters", field, quote(text));
    return {};
}

Problem check(const InviteRequest&, Door door) {
    return for_control_alone(door);
}

Problem check(const JoinRequest& j, Door door) {
    if (auto p = for_control_alone(door)) return p;
    return at_most("invitation", j.invitation.size(), kMaxInvitationBytes, "bytes");
}

Problem check(const LeaveRequest&, Door door) {
    return for_control_alone(door);
}

Problem check(const DevicesRequest&, Door door) {
    return for_control_alone(door);
}

Problem check(const RenameRequest& r, Door door) {
    if (auto p = for_control_alone(door)) return p;
    if (auto p = check_device("device", r.device)) return p;
    return check_device("name", r.name);
}

Problem check(const ForgetRequest& f, Door door) {
    if (auto p = for_control_alone(door)) return p;
    return check_device("device", f.device);
}

Problem check(const StatusRequest&, Door) {
    return {};
}
Problem check(const ModelsRequest&, Door) {
    return {};
}
Problem check(const CancelRequest&, Door) {
    return {};
}

}  // namespace

std::optional<Failed> validate(const Request& request, Door door) {
    return std::visit([&](const auto& body) { return check(body, door); }, request);
}

}  // namespace shoal::mesh::messages
