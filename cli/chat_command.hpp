// What may be typed in a chat beside messages: "/set temperature 0".
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace shoal::cli {

struct ChatCommand {
    enum class Name { system, set, save, load, regenerate, undo, stats, clear, help, bye };
    Name name = Name::help;
    std::string argument;  ///< what follows the name, without spaces around it
};

/// The command that an input is; nothing for a message. A message may begin with '/' when no word
/// of letters alone follows, as a path does, or when it has several lines and is no known command.
/// Throws Error(kUsage) for a command that there is not, with what is near, and for one that has no
/// argument and needs it or the other way round.
std::optional<ChatCommand> chat_command(std::string_view input);

/// What each command does, a line for each.
std::string chat_help();

}  // namespace shoal::cli
