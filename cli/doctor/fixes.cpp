#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <system_error>

#include "cli/doctor/finding.hpp"

namespace shoal::cli::doctor {
namespace {

constexpr int kNoProgram = 127;

std::string reason(int error) {
    return std::generic_category().message(error);
}

std::string write_value(const std::filesystem::path& path, const std::string& value) {
    std::error_code ignored;
    // Never makes a file: what is not there is not there to be set.
    if (!std::filesystem::exists(path, ignored)) return path.string() + ": " + reason(ENOENT);
    std::ofstream file(path);
    errno = 0;
    file << value << std::flush;
    return file ? "" : path.string() + ": " + reason(errno != 0 ? errno : EACCES);
}

std::string run(const std::vector<std::string>& program) {
    std::vector<char*> arguments;
    for (const std::string& word : program) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    const pid_t child = fork();
    if (child < 0) return program[0] + ": " + reason(errno);
    if (child == 0) {
        execvp(arguments[0], arguments.data());
        _exit(kNoProgram);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
    return program[0] + (WIFEXITED(status) && WEXITSTATUS(status) == kNoProgram
                             ? " is not installed"
                             : " failed");
}

}  // namespace

std::string apply(const Fix& fix, const Tree& tree) {
    if (fix.file.empty()) return run(fix.program);
    const auto path = tree.at(fix.file);
    if (!fix.mode) return write_value(path, fix.value);
    return chmod(path.c_str(), *fix.mode) == 0 ? "" : path.string() + ": " + reason(errno);
}

}  // namespace shoal::cli::doctor
