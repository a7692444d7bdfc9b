// shoald: reads its settings, runs the daemon, ends on SIGINT and SIGTERM.
#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <exception>
#include <span>
#include <string>
#include <vector>

#include "config/keys.hpp"
#include "config/load.hpp"
#include "daemon/accept_hook.hpp"
#include "daemon/connection_limits.hpp"
#include "daemon/daemon.hpp"
#include "daemon/device_facts.hpp"
#include "daemon/setup_check.hpp"
#include "daemon/version.hpp"

namespace {

constexpr int kExitUsage = 2;
// With fewer descriptors, limits are lower than the numbers in mesh/PROTOCOL.md.
constexpr std::size_t kFewDescriptors = 8192;

std::atomic<shoal::Daemon*> running{nullptr};

void on_signal(int) {
    if (shoal::Daemon* daemon = running) daemon->stop();
}

void set_log_level(shoal::config::LogLevel level) {
    using shoal::config::LogLevel;
    switch (level) {
        case LogLevel::error:
            return spdlog::set_level(spdlog::level::err);
        case LogLevel::warn:
            return spdlog::set_level(spdlog::level::warn);
        case LogLevel::info:
            return spdlog::set_level(spdlog::level::info);
        case LogLevel::debug:
            return spdlog::set_level(spdlog::level::debug);
    }
}

// The message of an exception and of what it is nested around.
std::string describe(const std::exception& error) {
    std::string text = error.what();
    try {
        std::rethrow_if_nested(error);
    } catch (const std::exception& inner) {
        text += ": " + describe(inner);
    }
    return text;
}

// Says what would be wrong at the start, or what the settings come to.
int check(const shoal::config::Settings& settings) {
    auto found = shoal::check_setup(settings);
    const auto peers = shoal::check_peers(settings.cluster);
    found.insert(found.end(), peers.begin(), peers.end());
    bool fine = true;
    for (const auto& w : found) {
        fmt::print(stderr, "shoald: {}: {}\n", name(w.severity), w.text);
        if (!w.remedy.empty()) fmt::print(stderr, "    {}\n", w.remedy);
        fine = fine && w.severity != shoal::mesh::messages::Severity::error;
    }
    if (!fine) return 1;
    fmt::print("configuration is {}: {}\n", found.empty() ? "fine" : "usable",
               shoal::setup_text(settings));
    return 0;
}

int serve(const shoal::config::Settings& settings) {
    const std::size_t descriptors = shoal::raise_descriptor_limit();
    if (descriptors < kFewDescriptors) {
        spdlog::warn(
            "this process may open {} files only, so few devices and clients can connect; raise "
            "the hard limit, with LimitNOFILE= or ulimit -Hn, to {} or more",
            descriptors, kFewDescriptors);
    }
    shoal::AcceptHook::guard_local(shoal::client_limits(descriptors));
    shoal::Daemon daemon(settings);
    for (const auto& listener : daemon.listeners()) {
        shoal::AcceptHook::guard_port(listener.port,
                                      shoal::mesh_limits(descriptors, listener.handshake));
    }
    running = &daemon;
    struct sigaction action {};
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    daemon.run([] { sd_notify(0, "READY=1"); });
    running = nullptr;
    sd_notify(0, "STOPPING=1");
    spdlog::info("stopping");
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    spdlog::set_default_logger(spdlog::stderr_color_mt("shoald"));
    spdlog::set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
    using namespace shoal::config;
    try {
        const std::vector<const char*> arguments(argv + 1, argv + argc);
        const CommandLine line = parse_command_line(arguments);
        if (line.help) {
            std::fputs(help_text().c_str(), stdout);
            return 0;
        }
        if (line.version) {
            fmt::print("shoald {}\n", shoal::version());
            return 0;
        }
        const Settings settings = load_settings({line.file, environment_texts(), line.flags});
        if (line.cpu) {
            std::fputs(
                (line.json ? shoal::cpu_json(settings.device) : shoal::cpu_text(settings.device))
                    .c_str(),
                stdout);
            return 0;
        }
        if (line.check) {
            static_cast<void>(shoal::choose_kernels(settings.device.cpu));
            return check(settings);
        }
        set_log_level(settings.log.level);
        return serve(settings);
    } catch (const ConfigError& error) {
        fmt::print(stderr, "shoald: {}\n", error.what());
        return kExitUsage;
    } catch (const std::exception& error) {
        fmt::print(stderr, "shoald: {}\n", describe(error));
        return 1;
    }
}
