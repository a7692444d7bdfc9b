// Reading what the user gives.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "cli/commands.hpp"
#include "cli/conversation.hpp"
#include "cli/exit_codes.hpp"

namespace shoal::cli {
namespace messages = mesh::messages;
namespace {

namespace fs = std::filesystem;

/// Everything up to a limit and one byte more.
std::string read_all(int fd, const std::string& from,
                     std::size_t limit = messages::kMaxPromptBytes) {
    std::string text;
    char buffer[1 << 16];
    for (;;) {
        const ssize_t size = read(fd, buffer, sizeof buffer);
        if (size == 0) return text;
        if (size < 0) {
            if (errno == EINTR) continue;
            throw Error(kUsage, fmt::format("cannot read {}: {}", from, std::strerror(errno)));
        }
        text.append(buffer, static_cast<std::size_t>(size));
        if (text.size() > limit + 1) {
            throw Error(kUsage, fmt::format("{} has more than {} bytes, which is the most that a "
                                            "request may have",
                                            from, limit));
        }
    }
}

}  // namespace

std::string read_file(const std::string& file, std::size_t limit) {
    const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        throw Error(kUsage, fmt::format("cannot open {}: {}", file, std::strerror(errno)));
    }
    try {
        std::string text = read_all(fd, file, limit);
        close(fd);
        return text;
    } catch (...) {
        close(fd);
        throw;
    }
}

std::string read_schema(const std::string& file) {
    std::string text = read_file(file, messages::kMaxGrammarBytes);
    if (const auto problem = json_problem(text)) {
        throw Error(kUsage, fmt::format("{} is no JSON schema: {}", file, *problem));
    }
    return text;
}

std::string read_text(const TextSource& source, const std::string& what) {
    std::string text;
    if (!source.file.empty()) {
        if (source.argument) {
            throw Error(kUsage,
                        fmt::format("give the {} as an argument or as a file, not both", what));
        }
        text = read_file(source.file, messages::kMaxPromptBytes);
    } else if (source.argument && *source.argument != "-") {
        return *source.argument;
    } else if (!source.argument && isatty(STDIN_FILENO) == 1) {
        throw Error(kUsage, fmt::format("no {}: give it as an argument, with -f FILE, or on "
                                        "standard input",
                                        what));
    } else {
        text = read_all(STDIN_FILENO, "standard input");
    }
    if (text.ends_with('\n')) text.pop_back();
    if (text.empty()) throw Error(kUsage, fmt::format("the {} is empty", what));
    return text;
}

std::string model_name(const std::string& given) {
    std::error_code ignored;
    const fs::path path(given);
    if (fs::is_regular_file(path, ignored) &&
        (given.find('/') != std::string::npos || path.extension() == ".gguf")) {
        return fs::absolute(path).lexically_normal().string();
    }
    // What can only be a path must exist; a name may hold a '/' inside.
    if (given.starts_with('/') || given.starts_with("./") || given.starts_with("../")) {
        throw Error(kNotFound, fmt::format("there is no model file {}", one_line(given)));
    }
    return given;
}

}  // namespace shoal::cli
