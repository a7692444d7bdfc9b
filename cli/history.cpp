#include "cli/history.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include "mesh/disk/whole_file.hpp"

namespace shoal::cli {
namespace {

namespace fs = std::filesystem;

std::string escaped(std::string_view entry) {
    std::string line;
    for (const char c : entry) {
        if (c == '\\')
            line += "\\\\";
        else if (c == '\n')
            line += "\\n";
        else
            line += c;
    }
    return line + '\n';
}

std::string unescaped(std::string_view line) {
    std::string entry;
    for (std::size_t i = 0; i < line.size(); ++i) {
        const bool escape = line[i] == '\\' && i + 1 < line.size();
        if (escape) ++i;
        entry += escape && line[i] == 'n' ? '\n' : line[i];
    }
    return entry;
}

/// The last bytes of a file, at most so many; empty when it cannot be read.
std::string end_of_file(const std::string& path, std::size_t most) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return {};
    std::string text;
    struct stat status {};
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
        const auto size = static_cast<std::size_t>(status.st_size);
        text.resize(std::min(size, most));
        const ssize_t got =
            pread(fd, text.data(), text.size(), static_cast<off_t>(size - text.size()));
        text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
        // Where it was cut an entry has lost its beginning.
        if (size > most) text.erase(0, std::min(text.find('\n'), text.size() - 1) + 1);
    }
    close(fd);
    return text;
}

}  // namespace

std::string HistoryFile::usual_path() {
    const char* state = std::getenv("XDG_STATE_HOME");
    if (state != nullptr && *state == '/') return std::string(state) + "/shoal/history";
    const char* home = std::getenv("HOME");
    if (home == nullptr || *home != '/') return {};
    return std::string(home) + "/.local/state/shoal/history";
}

std::vector<std::string> HistoryFile::read() const {
    if (path_.empty()) return {};
    const std::string text = end_of_file(path_, kMostBytes);
    std::vector<std::string> entries;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        if (end > at) entries.push_back(unescaped(std::string_view(text).substr(at, end - at)));
        at = end + 1;
    }
    // At half the bound again as many may be added before the next time.
    const bool long_file = entries.size() > 2 * kMostEntries || text.size() > kMostBytes / 2;
    if (entries.size() > kMostEntries) {
        entries.erase(entries.begin(), entries.end() - static_cast<std::ptrdiff_t>(kMostEntries));
    }
    if (!long_file) return entries;
    std::string kept;
    for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
        const std::string line = escaped(*entry);
        if (kept.size() + line.size() > kMostBytes / 4) break;
        kept.insert(0, line);
    }
    try {
        disk::replace_file(path_, kept, 0600);
    } catch (const std::runtime_error&) {
        // It stays long.
    }
    return entries;
}

void HistoryFile::add(std::string_view entry) const {
    if (path_.empty() || entry.empty() || entry.size() > kLongestEntry) return;
    append(escaped(entry));
}

void HistoryFile::append(std::string_view text) const {
    std::error_code ignored;
    const fs::path folder = fs::path(path_).parent_path();
    if (!fs::exists(folder, ignored) && fs::create_directories(folder, ignored)) {
        fs::permissions(folder, fs::perms::owner_all, ignored);
    }
    constexpr int kFlags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK;
    const int fd = open(path_.c_str(), kFlags, 0600);
    if (fd < 0) return;
    // One that was there may have been open to others; in one call entries of two chats do not mix.
    struct stat status {};
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && fchmod(fd, 0600) == 0) {
        [[maybe_unused]] const ssize_t written = ::write(fd, text.data(), text.size());
    }
    close(fd);
}

}  // namespace shoal::cli
