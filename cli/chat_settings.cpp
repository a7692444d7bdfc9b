#include "cli/chat_settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <vector>

#include "cli/exit_codes.hpp"
#include "cli/terminal.hpp"
#include "config/nearest.hpp"

namespace shoal::cli {
namespace messages = mesh::messages;
namespace {

struct Setting {
    std::string_view name, what;
    std::function<std::string(const ChatSettings&)> get;
    std::function<void(ChatSettings&, std::string_view)> set;
};

[[noreturn]] void not_a(std::string_view what, std::string_view text) {
    throw Error(kUsage, fmt::format("\"{}\" is not {}", one_line(text.substr(0, 80)), what));
}

template <typename T>
T number(std::string_view text, std::string_view what) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) not_a(what, text);
    return value;
}

Setting real(std::string_view name, float messages::Sampling::*member, std::string_view what) {
    return {
        name, what,
        [member](const ChatSettings& s) { return fmt::format("{}", s.answer.sampling.*member); },
        [member](ChatSettings& s, std::string_view text) {
            s.answer.sampling.*member = number<float>(text, "a number");
        }};
}

Setting whole(std::string_view name, std::uint32_t messages::Sampling::*member,
              std::string_view what) {
    return {
        name, what,
        [member](const ChatSettings& s) { return fmt::format("{}", s.answer.sampling.*member); },
        [member](ChatSettings& s, std::string_view text) {
            s.answer.sampling.*member = number<std::uint32_t>(text, "a whole number from 0");
        }};
}

std::string thinking_text(const ChatSettings& s) {
    if (!s.show_reasoning) return "hidden";
    return !s.thinking ? "default" : *s.thinking ? "on" : "off";
}

void set_thinking(ChatSettings& s, std::string_view text) {
    if (text != "on" && text != "off" && text != "hidden")
        not_a("on, off, hidden or default", text);
    s.thinking = text != "off";
    s.show_reasoning = text != "hidden";
}

std::string seed_text(const ChatSettings& s) {
    return s.answer.seed ? fmt::format("{}", *s.answer.seed) : "default";
}

std::string limit_text(const ChatSettings& s) {
    return fmt::format("{}", s.answer.max_tokens);
}

const std::vector<Setting>& all_settings() {
    using messages::Sampling;
    static const std::vector<Setting> settings = {
        real("temperature", &Sampling::temperature, "0 always takes the likeliest token"),
        whole("top_k", &Sampling::top_k, "choose among this many tokens; 0: all"),
        real("top_p", &Sampling::top_p, "choose among tokens of this total probability; 1: all"),
        real("min_p", &Sampling::min_p,
             "leave out tokens less likely than this part of the likeliest; 0: none"),
        real("repeat_penalty", &Sampling::repeat_penalty, "above 1 discourages repetition"),
        real("presence_penalty", &Sampling::presence_penalty,
             "taken once from the logit of every token seen"),
        real("frequency_penalty", &Sampling::frequency_penalty,
             "taken from a token's logit for each time it was seen"),
        whole("penalty_last_n", &Sampling::penalty_last_n,
              "tokens that the penalties look back on"),
        {"seed", "the same one gives the same answer; default: another each time", seed_text,
         [](ChatSettings& s, std::string_view text) {
             s.answer.seed = number<std::uint64_t>(text, "a whole number from 0");
         }},
        {"max_tokens", "most tokens of an answer; 0: until the model ends", limit_text,
         [](ChatSettings& s, std::string_view text) {
             s.answer.max_tokens = number<std::uint32_t>(text, "a whole number from 0");
         }},
        {"think", "on, off, hidden (thinks and does not show it) or default: as the model does",
         thinking_text, set_thinking},
    };
    return settings;
}

const Setting& find(std::string_view name) {
    const auto& all = all_settings();
    const auto found = std::ranges::find(all, name, &Setting::name);
    if (found != all.end()) return *found;
    std::vector<std::string_view> names;
    for (const Setting& setting : all) names.push_back(setting.name);
    const std::string_view near = config::nearest(name, names);
    throw Error(kUsage, fmt::format("there is no setting \"{}\"{} /set alone lists them.",
                                    one_line(name.substr(0, 80)),
                                    near.empty() ? "." : fmt::format("; did you mean {}?", near)));
}

void set_default(const Setting& setting, ChatSettings& settings) {
    // These two have a default that is no value which one could type.
    if (setting.name == "seed") {
        settings.answer.seed.reset();
    } else if (setting.name == "think") {
        settings.thinking.reset();
        settings.show_reasoning = true;
    } else {
        setting.set(settings, setting.get(ChatSettings{}));
    }
}

}  // namespace

void set_setting(ChatSettings& settings, std::string_view argument) {
    const auto space = std::min(argument.find_first_of(" \t=\n"), argument.size());
    const Setting& setting = find(argument.substr(0, space));
    const auto begin = std::min(argument.find_first_not_of(" \t=\n", space), argument.size());
    const std::string_view value = argument.substr(begin);
    ChatSettings changed = settings;
    if (value == "default") {
        set_default(setting, changed);
    } else {
        setting.set(changed, value);
    }
    messages::Generate generate;
    generate.sampling = changed.answer.sampling;
    if (const auto wrong = messages::validate(generate, messages::Door::control)) {
        throw Error(kUsage, one_line(wrong->message));
    }
    settings = std::move(changed);
}

std::string settings_text(const ChatSettings& settings, std::string_view name) {
    if (!name.empty()) {
        const Setting& setting = find(name);
        return fmt::format("{} {}\n", setting.name, setting.get(settings));
    }
    std::string text;
    for (const Setting& setting : all_settings()) {
        text +=
            fmt::format("  {:<18} {:<10} {}\n", setting.name, setting.get(settings), setting.what);
    }
    return text;
}

}  // namespace shoal::cli
