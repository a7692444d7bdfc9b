// What /set changes in a chat.
#pragma once

#include <string>
#include <string_view>

#include "cli/commands.hpp"
#include "cli/conversation.hpp"

namespace shoal::cli {

struct ChatSettings {
    AnswerOptions answer;
    Thinking thinking;
    bool show_reasoning = true;
};

/// Takes "temperature 0.5" or "temperature default". Throws Error(kUsage) when there is no such
/// setting, naming what is near, or when it cannot have that value; nothing is changed then.
void set_setting(ChatSettings& settings, std::string_view argument);
/// A setting by name and its value, "temperature 0.5"; or all, a line for each, when `name` is
/// empty. Throws Error(kUsage) when there is no such setting.
std::string settings_text(const ChatSettings& settings, std::string_view name);

}  // namespace shoal::cli
