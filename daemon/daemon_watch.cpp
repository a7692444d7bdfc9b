// What of the daemon must go on, and what is told when it does not.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <iterator>
#include <memory>
#include <system_error>
#include <utility>

#include "daemon/daemon.hpp"
#include "daemon/log/log.hpp"
#include "mesh/transport/io_probe.hpp"

namespace shoal {

using mesh::messages::Severity;

namespace {

// A stall that is over is shown this long.
constexpr auto kStallShown = std::chrono::minutes(10);

double seconds_of(std::chrono::milliseconds time) {
    return std::chrono::duration<double>(time).count();
}

ProcessFigures process_figures() {
    ProcessFigures out;
    out.resident_bytes = resident_bytes();
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) out.max_descriptors = limit.rlim_cur;
    std::error_code error;
    const std::filesystem::directory_iterator open("/proc/self/fd", error);
    const auto count = std::distance(begin(open), end(open));
    // Without the one that reads this.
    out.open_descriptors = static_cast<std::uint64_t>(std::max<std::ptrdiff_t>(1, count) - 1);
    timespec used{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    out.cpu_seconds = static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
    return out;
}

}  // namespace

std::vector<Watchdog::Watched> Daemon::watched() {
    std::vector<Watchdog::Watched> all;
    all.push_back({[this] { return loop_.turns(); },
                   [this] { return fmt::format("the control loop, in {}", loop_.doing()); }});
    const std::pair<int, const char*> threads[] = {
        {mesh::kControlIoThread, "libzmq's I/O thread of the control plane"},
        {mesh::kDataIoThread, "libzmq's I/O thread of the data plane"}};
    for (const auto& [thread, name] : threads) {
        const auto probe = std::make_shared<mesh::transport::IoProbe>(context_.zmq(), thread);
        all.push_back(
            {[probe] { return probe->turns(); }, [text = name] { return std::string(text); }});
    }
    return all;
}

void Daemon::watch_strain() {
    const std::uint64_t steps = engine_->effort().steps;
    strain_.look(read_strain(), steps != std::exchange(steps_seen_, steps), loop_.now());
    measurement_.slow_down_to(strain_.speed_part());
    for (const char* name : StrainWatch::kNames) {
        std::vector<mesh::messages::Warning> now;
        for (mesh::messages::Warning warning : strain_.warnings()) {
            if (warning.name != name) continue;
            warning.device = identity_.id.hex();
            now.push_back(std::move(warning));
        }
        core_.warnings().replace(name, std::move(now));
    }
    strain_due_ = loop_.after(
        StrainWatch::kInterval, [this] { watch_strain(); }, "looking at what strains the device");
}

// By the HTTP server's thread.
DeviceFigures Daemon::figures() const {
    DeviceFigures out;
    out.requests = core_.router().figures();
    out.plans = core_.plan_figures();
    out.effort = engine_->effort();
    out.links = engine_->links();
    out.data = engine_->data_stats();
    out.refused = context_.refused();
    out.loop_delays = loop_.delays();
    out.process = process_figures();
    out.process.started = std::chrono::duration<double>(started_.time_since_epoch()).count();
    return out;
}

Watchdog::Reports Daemon::stall_reports() {
    Watchdog::Reports reports;
    reports.stalled = [](const std::string& what, std::chrono::milliseconds time) {
        log::error("{}, stands still for {} s; other devices and clients wait", what,
                   seconds_of(time));
    };
    reports.recovered = [this](const std::string& what, std::chrono::milliseconds time) {
        loop_.post([this, text = fmt::format("{}, stood still for {} s", what, seconds_of(time))] {
            core_.warnings().raise({"stood-still", Severity::warning, identity_.id.hex(), text,
                                    "look for a slow disk or an overloaded device"});
            stall_shown_ = loop_.after(
                kStallShown, [this] { core_.warnings().clear("stood-still", identity_.id.hex()); });
        });
    };
    reports.hopeless = [](const std::string& what, std::chrono::milliseconds time) {
        log::critical(
            "{}, stands still for {} s and will not go on: giving up, so that this daemon can be "
            "started again",
            what, seconds_of(time));
        log::flush();
        std::abort();
    };
    return reports;
}

}  // namespace shoal
