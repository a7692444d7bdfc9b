// The grammar of the command line: each function adds commands, whose options go into the values
// that it is given and which set `action`. Both outlive the parsing.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "cli/commands.hpp"

namespace shoal::cli {

/// What the command that was given does; the exit code.
using Action = std::function<int(const Common&)>;

inline CLI::App* command(CLI::App& app, const char* name, const char* summary, const char* footer) {
    CLI::App* sub = app.add_subcommand(name, summary);
    sub->fallthrough();
    sub->footer(footer);
    return sub;
}

/// The argument MODEL.
void add_model(CLI::App& app, std::string& model);

// Answers, and texts as tokens.
void add_run(CLI::App& app, RunOptions& o, Action& action);
void add_chat(CLI::App& app, ChatOptions& o, Action& action);
void add_tokens(CLI::App& app, TokenizeOptions& t, DetokenizeOptions& d, Action& action);

// Devices, models and the cluster.
void add_status(CLI::App& app, StatusOptions& o, Action& action);
void add_plan(CLI::App& app, PlanOptions& o, Action& action);
void add_bench(CLI::App& app, BenchOptions& o, Action& action);
void add_doctor(CLI::App& app, DoctorOptions& o, Action& action);
void add_logs(CLI::App& app, LogsOptions& o, Action& action);
void add_models(CLI::App& app, ModelsOptions& m, std::string& model, Action& action);
void add_files(CLI::App& app, AddOptions& o, std::string& model, Action& action);
void add_contact(CLI::App& app, InviteOptions& i, JoinOptions& j, Action& action);
void add_devices(CLI::App& app, std::string& device, std::string& name, Action& action);
void add_key(CLI::App& app, std::string& file, Action& action);

}  // namespace shoal::cli
