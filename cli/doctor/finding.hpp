// What a check of `shoal doctor` finds.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/doctor/facts.hpp"
#include "mesh/messages/warning.hpp"

namespace shoal::cli::doctor {

using mesh::messages::Severity;

/// What --fix does: one of three.
struct Fix {
    std::string file, value;           ///< writes the value into a file of the system
    std::optional<unsigned> mode;      ///< or gives the file these permissions
    std::vector<std::string> program;  ///< or, without a file, runs a program
    bool operator==(const Fix&) const = default;
};

/// Has a command, or advice where hands are needed, or both.
struct Finding {
    Severity severity = Severity::warning;
    std::string text;     ///< what and where
    std::string command;  ///< what to type
    std::string advice;
    std::vector<Fix> fixes{};  ///< harmless, and all that the command does; empty: not for --fix
};

using Findings = std::vector<Finding>;

/// A check looks at facts only. Nothing: there is nothing here that it could look at.
struct Check {
    const char* name;   ///< lasting, for programs
    const char* about;  ///< for people: "clock"
    std::optional<Findings> (*look)(const Facts&);
};

/// All of them, in the order in which they are told.
std::span<const Check> checks() noexcept;

struct Result {
    const Check* check;
    std::optional<Findings> found;
};
std::vector<Result> examine(const Facts& facts);

/// Warnings and errors; notices are no problems.
std::size_t problems(const std::vector<Result>& results) noexcept;

/// Carries out a fix, files below the tree's root. Empty, or why it could not be done.
std::string apply(const Fix& fix, const Tree& tree);

}  // namespace shoal::cli::doctor
