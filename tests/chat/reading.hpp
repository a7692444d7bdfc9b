// Answers read whole or in pieces, written down as one line each.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/chat/answer_reader.hpp"

namespace shoal::chat::tests {

/// What a reader said about one answer.
struct Reading {
    /// In order: `reasoning:TEXT|`, `content:TEXT|`, `call:NAME ARGUMENTS|`, pieces joined.
    std::string line;
    std::vector<std::string> ids;
    bool unfinished = false;
    bool stopped = false;

    bool operator==(const Reading&) const = default;
};

/// get_temperature(room, unit: strings), set_light(on: boolean, level: integer, names: array).
const std::vector<Tool>& house_tools();
ReaderOptions house(std::string prompt_end = "");

AnswerFormat format_of(CallFormat calls);

/// `cuts` are ascending offsets within the text.
Reading read(const AnswerFormat& format, const ReaderOptions& options, std::string_view text,
             const std::vector<std::size_t>& cuts = {}, Ending ending = Ending::by_model);
std::string line(CallFormat calls, std::string_view text, Ending ending = Ending::by_model);

/// Checks that every single cut, all of them, and `rounds` random choices of cuts say the same as
/// the whole text, for both endings.
void check_cuts(const AnswerFormat& format, const ReaderOptions& options, std::string_view text,
                std::uint32_t seed, int rounds = 20);

}  // namespace shoal::chat::tests
