#include "daemon/log/log.hpp"

#include <fmt/format.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <iterator>
#include <memory>
#include <string>

namespace shoal::log {

namespace {

spdlog::level::level_enum level_of(Level level) {
    switch (level) {
        case Level::debug:
            return spdlog::level::debug;
        case Level::info:
            return spdlog::level::info;
        case Level::warn:
            return spdlog::level::warn;
        case Level::error:
            return spdlog::level::err;
        case Level::critical:
            break;
    }
    return spdlog::level::critical;
}

// A line's priority by the numbers of syslog, as journald takes it from the line's beginning.
class Priority final : public spdlog::custom_flag_formatter {
  public:
    void format(const spdlog::details::log_msg& line, const std::tm&,
                spdlog::memory_buf_t& out) override {
        constexpr char kNumbers[] = "7764320";  // of trace, debug, info, warn, err, critical, off
        for (const char c : {'<', kNumbers[line.level], '>'}) out.push_back(c);
    }
    std::unique_ptr<spdlog::custom_flag_formatter> clone() const override {
        return std::make_unique<Priority>();
    }
};

}  // namespace

// systemd names the journal's stream by device and inode, as standard error may be another one.
bool is_journal() {
    const char* journal = std::getenv("JOURNAL_STREAM");
    struct stat stream {};
    if (journal == nullptr || ::fstat(STDERR_FILENO, &stream) != 0) return false;
    return fmt::format("{}:{}", stream.st_dev, stream.st_ino) == journal;
}

void start() {
    spdlog::set_default_logger(spdlog::stderr_color_mt("shoald"));
    if (!is_journal()) return spdlog::set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    formatter->add_flag<Priority>('P').set_pattern("%P%v");
    spdlog::set_formatter(std::move(formatter));
}

void set_level(Level least) {
    spdlog::set_level(level_of(least));
}

void vwrite(Level level, fmt::string_view format, fmt::format_args args) {
    const auto wanted = level_of(level);
    if (!spdlog::should_log(wanted)) return;
    fmt::memory_buffer line;
    fmt::vformat_to(std::back_inserter(line), format, args);
    spdlog::log(wanted, spdlog::string_view_t(line.data(), line.size()));
}

void flush() {
    spdlog::default_logger_raw()->flush();
}

}  // namespace shoal::log
