// shoald: reads its settings, runs the daemon, ends on SIGINT and SIGTERM; SIGHUP has it read its
// settings again.
#include <fmt/format.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <span>
#include <string>
#include <vector>

#include "config/keys.hpp"
#include "config/load.hpp"
#include "daemon/accept_hook.hpp"
#include "daemon/connection_limits.hpp"
#include "daemon/contact/boot_key.hpp"
#include "daemon/daemon.hpp"
#include "daemon/device_facts.hpp"
#include "daemon/log/log.hpp"
#include "daemon/setup_check.hpp"
#include "daemon/version.hpp"

namespace {

constexpr int kExitUsage = 2;
// With fewer descriptors, limits are lower than the numbers in mesh/PROTOCOL.md.
constexpr std::size_t kFewDescriptors = 8192;

std::atomic<shoal::Daemon*> running{nullptr};

void on_signal(int signal) {
    shoal::Daemon* daemon = running;
    if (daemon == nullptr) return;
    if (signal == SIGHUP) {
        daemon->reload();
    } else {
        daemon->stop();
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

// One line on standard error before there is a log, or instead of it.
void complain(bool is_error, const std::string& text) {
    const char* journal = is_error ? "<3>" : "<4>";
    fmt::print(stderr, "{}{}\n", shoal::log::is_journal() ? journal : "shoald: ", text);
}

// Says what would be wrong at the start, or what the settings come to.
int check(const shoal::config::Settings& settings) {
    auto found = shoal::check_setup(settings);
    const auto peers = shoal::check_peers(settings.cluster);
    found.insert(found.end(), peers.begin(), peers.end());
    bool fine = true;
    for (const auto& w : found) {
        const bool is_error = w.severity == shoal::mesh::messages::Severity::error;
        complain(is_error, fmt::format("{}: {}", name(w.severity), w.text));
        if (!w.remedy.empty()) fmt::print(stderr, "    {}\n", w.remedy);
        fine = fine && !is_error;
    }
    if (!fine) return 1;
    fmt::print("configuration is {}: {}\n", found.empty() ? "fine" : "usable",
               shoal::setup_text(settings));
    return 0;
}

// systemd, if it started us.
shoal::Supervisor supervisor(const shoal::config::Sources& sources, std::size_t descriptors) {
    shoal::Supervisor systemd;
    systemd.ready = [] { sd_notify(0, "READY=1"); };
    std::uint64_t patience_us = 0;
    if (sd_watchdog_enabled(0, &patience_us) > 0) {
        systemd.alive = [] { sd_notify(0, "WATCHDOG=1"); };
        systemd.alive_every = std::chrono::microseconds(patience_us / 3);
    }
    systemd.reloading = [] {
        const auto now = std::chrono::steady_clock::now().time_since_epoch();
        sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
                   static_cast<long long>(
                       std::chrono::duration_cast<std::chrono::microseconds>(now).count()));
    };
    systemd.settings = [sources] { return shoal::config::load_settings(sources); };
    systemd.guard = [descriptors](std::uint16_t port, bool open) {
        if (!open) return shoal::AcceptHook::leave_port(port);
        shoal::AcceptHook::guard_port(port, shoal::stranger_limits(descriptors));
    };
    return systemd;
}

int serve(const shoal::config::Settings& settings, const shoal::config::Sources& sources) {
    const std::size_t descriptors = shoal::raise_descriptor_limit();
    if (descriptors < kFewDescriptors) {
        shoal::log::warn(
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
    // At a terminal the signal says that it was closed.
    if (isatty(STDERR_FILENO) == 0) sigaction(SIGHUP, &action, nullptr);
    daemon.run(supervisor(sources, descriptors));
    running = nullptr;
    sd_notify(0, "STOPPING=1");
    shoal::log::info("stopping");
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    shoal::log::start();
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
        const Sources sources{line.file, environment_texts(), line.flags};
        const Settings settings = load_settings(sources);
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
        shoal::set_log_level(settings.log.level);
        if (line.take_boot_key) {
            if (settings.cluster.key_file.empty()) {
                shoal::take_boot_key(settings.cluster.boot_keys, cluster_key_file(settings));
            }
            return 0;
        }
        return serve(settings, sources);
    } catch (const ConfigError& error) {
        complain(true, error.what());
        return kExitUsage;
    } catch (const std::exception& error) {
        complain(true, describe(error));
        return 1;
    }
}
