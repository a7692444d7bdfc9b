// shoal logs: where the daemon's log is, shown by the program that shows such.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "cli/commands.hpp"
#include "cli/daemon_process.hpp"
#include "cli/exit_codes.hpp"
#include "config/settings.hpp"

namespace shoal::cli {
namespace fs = std::filesystem;
namespace {

constexpr std::uint32_t kLines = 200;

/// Takes this process's place. Throws Error when the program cannot be started.
[[noreturn]] void become(const std::vector<std::string>& command) {
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    execvp(arguments[0], arguments.data());
    throw Error(kFailed, fmt::format("cannot start {}: {}", command[0], std::strerror(errno)));
}

bool is_installed() {
    std::error_code ignored;
    for (const char* folder : {"/etc/systemd/system", "/lib/systemd/system"}) {
        if (fs::exists(fs::path(folder) / "shoald.service", ignored)) return true;
    }
    return false;
}

/// The system's journal, which is for root and two groups. Where there is none journalctl says so.
bool may_read_journal() {
    std::error_code error;
    for (const char* folder : {"/var/log/journal", "/run/log/journal"}) {
        for (fs::directory_iterator it(folder, error), end; !error && it != end;
             it.increment(error)) {
            const fs::path file = it->path() / "system.journal";
            if (fs::exists(file, error)) return access(file.c_str(), R_OK) == 0;
        }
    }
    return true;
}

std::vector<std::string> journal(const Common& common, const LogsOptions& options) {
    std::vector<std::string> command = {"journalctl", "--no-pager", "-u", "shoald"};
    if (options.follow) command.emplace_back("-f");
    if (options.lines || options.since.empty()) {
        command.insert(command.end(), {"-n", std::to_string(options.lines.value_or(kLines))});
    }
    if (!options.since.empty()) command.push_back("--since=" + options.since);
    if (common.json) command.insert(command.end(), {"-o", "json"});
    return command;
}

/// Of a daemon that somebody started by hand: the file that its standard error goes to.
std::vector<std::string> file_of(const Common& common, const LogsOptions& options) {
    const int process = daemon_process(common.socket);
    if (process == 0) {
        throw Error(kUnreachable,
                    fmt::format("no daemon listens on {}; one that is started by hand writes its "
                                "log to standard error, where it was started.",
                                one_line(common.socket)));
    }
    std::error_code error;
    const fs::path log = fs::read_symlink(fmt::format("/proc/{}/fd/2", process), error);
    if (error || !fs::is_regular_file(log, error)) {
        throw Error(kFailed,
                    fmt::format("the daemon on {} (process {}) was not started by systemd and "
                                "writes its log to {}, not to a file. Start it with `2> FILE`, or "
                                "look where it was started.",
                                one_line(common.socket), process,
                                log.empty() ? "standard error" : one_line(log.string())));
    }
    if (!options.since.empty()) {
        throw Error(kUsage,
                    fmt::format("the log is a file, {}, of which --since knows nothing; use "
                                "-n.",
                                one_line(log.string())));
    }
    std::vector<std::string> command = {"tail", "-n",
                                        std::to_string(options.lines.value_or(kLines))};
    if (options.follow) command.emplace_back("-F");
    command.insert(command.end(), {"--", log.string()});
    return command;
}

}  // namespace

int logs(const Common& common, const LogsOptions& options) {
    const bool own = common.socket != config::ControlSettings{}.socket;
    if (own || !is_installed()) become(file_of(common, options));
    if (!may_read_journal()) {
        complain(
            "the journal is for root and the group systemd-journal: `sudo shoal logs`, or `sudo "
            "usermod -aG systemd-journal $USER` and log in again.");
        return kFailed;
    }
    become(journal(common, options));
}

}  // namespace shoal::cli
