#include "daemon/log/log.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <iterator>

namespace shoal::log {

namespace {

spdlog::level::level_enum level_of(Level level) {
    switch (level) {
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

}  // namespace

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
