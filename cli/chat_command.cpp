#include "cli/chat_command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "cli/exit_codes.hpp"
#include "cli/terminal.hpp"
#include "config/nearest.hpp"

namespace shoal::cli {
namespace {

using Name = ChatCommand::Name;
enum class Takes { nothing, maybe, something };

struct Known {
    std::string_view name;
    Name command;
    Takes takes;
    std::string_view argument, what;  ///< for the help; without `what` it is another's second name
};

constexpr Known kCommands[] = {
    {"system", Name::system, Takes::maybe, "TEXT",
     "tell the model what to be; none: nothing; alone: show"},
    {"set", Name::set, Takes::maybe, "NAME VALUE", "change a setting; alone: list them"},
    {"save", Name::save, Takes::something, "FILE", "write the conversation to a new file"},
    {"load", Name::load, Takes::something, "FILE", "go on with a conversation from a file"},
    {"regenerate", Name::regenerate, Takes::nothing, "", "answer the last message anew"},
    {"undo", Name::undo, Takes::nothing, "", "take the last message and its answer back"},
    {"stats", Name::stats, Takes::nothing, "", "tokens, speed and devices of the last answer"},
    {"clear", Name::clear, Takes::nothing, "", "forget the conversation, but not /system"},
    {"help", Name::help, Takes::nothing, "", "this"},
    {"bye", Name::bye, Takes::nothing, "", "leave, as Ctrl-D does"},
    {"exit", Name::bye, Takes::nothing, "", ""},
    {"quit", Name::bye, Takes::nothing, "", ""},
};

constexpr std::string_view kSpaces = " \t\r\n";

std::string_view trimmed(std::string_view text) {
    const auto begin = text.find_first_not_of(kSpaces);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(kSpaces) + 1 - begin);
}

[[noreturn]] void unknown(std::string_view word) {
    std::vector<std::string_view> names;
    for (const Known& known : kCommands) names.push_back(known.name);
    const std::string_view near = config::nearest(word, names);
    throw Error(
        kUsage,
        fmt::format("there is no command /{}{} /help lists them; a message that begins "
                    "so goes between \"\"\" and \"\"\".",
                    one_line(word), near.empty() ? "." : fmt::format("; did you mean /{}?", near)));
}

bool is_letter(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

}  // namespace

std::optional<ChatCommand> chat_command(std::string_view input) {
    if (!input.starts_with('/')) return std::nullopt;
    input.remove_prefix(1);
    const std::string_view word = input.substr(0, input.find_first_of(kSpaces));
    const std::string_view argument = trimmed(input.substr(word.size()));
    const auto* known = std::ranges::find(kCommands, word, &Known::name);
    if (known == std::end(kCommands)) {
        const bool command = word == "?" || std::ranges::all_of(word, is_letter);
        if (!command || input.find('\n') != std::string_view::npos) return std::nullopt;
        unknown(word);
    }
    if (known->takes == Takes::nothing && !argument.empty()) {
        throw Error(kUsage, fmt::format("/{} takes nothing behind it, and \"{}\" is there", word,
                                        one_line(argument.substr(0, 80))));
    }
    if (known->takes == Takes::something && argument.empty()) {
        throw Error(kUsage, fmt::format("say which: /{} {}", word, known->argument));
    }
    return ChatCommand{known->command, std::string(argument)};
}

std::string chat_help() {
    std::string text;
    for (const Known& known : kCommands) {
        if (known.what.empty()) continue;
        text += fmt::format("  {:<18}  {}\n", fmt::format("/{} {}", known.name, known.argument),
                            known.what);
    }
    constexpr std::pair<std::string_view, std::string_view> kKeys[] = {
        {"several lines", "end each with \\, press Alt-Enter, paste, or begin and end with \"\"\""},
        {"Ctrl-C", "stop the answer, which stays as far as it came; or clear the line"},
        {"Up, Ctrl-R", "find what was typed before"},
    };
    for (const auto& key : kKeys) text += fmt::format("  {:<18}  {}\n", key.first, key.second);
    return text;
}

}  // namespace shoal::cli
