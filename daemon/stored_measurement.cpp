#include "daemon/stored_measurement.hpp"

#include <fmt/format.h>
#include <malloc.h>

#include <chrono>
#include <exception>
#include <fstream>
#include <iterator>
#include <new>
#include <utility>

#include "daemon/device_facts.hpp"
#include "daemon/exec/cpu_topology.hpp"
#include "daemon/exec/thread_pool.hpp"
#include "daemon/log/log.hpp"
#include "daemon/measure/measure.hpp"
#include "daemon/memory_budget.hpp"
#include "daemon/plan/device_profile.hpp"
#include "daemon/version.hpp"
#include "mesh/disk/whole_file.hpp"
#include "mesh/transport/state_file.hpp"

namespace shoal {
namespace {

using mesh::messages::ProfileOrigin;
using planner::DeviceProfile;

// Text of what is no file on a disk; empty when it is not there.
std::string text_of(const char* path) {
    constexpr std::size_t kMost = 64u << 10;
    std::ifstream file(path, std::ios::binary);
    std::string text(kMost, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(file.gcount()));
    return text;
}

// What is measured, or why not. Runs on a thread of the background, whose CPUs are then those of
// the placement.
std::pair<std::optional<DeviceProfile>, std::string> measured(const kernels::Table& kernels,
                                                              const Placement& placement,
                                                              const std::stop_token& stop,
                                                              const measure::Progress& progress) {
    try {
        exec::run_on(placement.allowed);
        exec::ThreadPool pool(placement.threads);
        const measure::Limits limits{speed_matrix_bytes_here()};
        return {measure::measure(kernels, pool, limits, stop, progress), ""};
    } catch (const std::bad_alloc&) {
        return {std::nullopt, "there is not enough memory"};
    } catch (const std::exception& error) {
        return {std::nullopt, error.what()};
    }
}

}  // namespace

measure::Conditions conditions_here(const kernels::Table& kernels, const Placement& placement) {
    return {measure::cpu_model(text_of("/proc/cpuinfo"), text_of("/proc/device-tree/model")),
            kernels.name,
            placement.threads,
            placement.cpus,
            read_memory().total,
            version()};
}

StoredMeasurement::StoredMeasurement(Loop& loop, Background& background,
                                     const kernels::Table& kernels, const Placement& placement,
                                     std::filesystem::path state_folder, std::uint64_t given_bytes)
    : loop_(loop),
      background_(background),
      kernels_(kernels),
      placement_(placement),
      path_(std::move(state_folder) / kFile),
      conditions_(conditions_here(kernels, placement)) {
    if (given_bytes != 0) {
        origin_ = ProfileOrigin::given;
        speed_ = static_cast<double>(given_bytes);
    } else if (auto stored = read()) {
        origin_ = ProfileOrigin::measured;
        record_ = *std::move(stored);
        speed_ = rounded_speed(record_.profile.of(planner::Family::q8).one_row);
        return;
    } else {
        speed_ = measure_speed(kernels, placement);
    }
    record_.profile = DeviceProfile::guess(speed_);
}

std::optional<measure::Record> StoredMeasurement::read() const {
    try {
        const auto file = mesh::transport::read_state_file(path_);
        if (!file) {
            log::info("this device is measured in the background, as it has not been yet");
            return std::nullopt;
        }
        measure::Record record = measure::from_text(file->text);
        if (record.conditions.same_as(conditions_)) return record;
        log::info(
            "this device is measured anew in the background, as it is not as it was on {} (CPU, "
            "instruction set, threads, memory or version)",
            record.date);
    } catch (const std::exception& error) {
        log::warn("{} is of no use, and this device is measured anew in the background: {}",
                  path_.string(), error.what());
    }
    return std::nullopt;
}

mesh::messages::BenchReply StoredMeasurement::report() const {
    mesh::messages::BenchReply reply;
    reply.profile = message_of(record_.profile);
    reply.origin = origin_;
    if (origin_ != ProfileOrigin::measured) return reply;
    const measure::Conditions& c = record_.conditions;
    reply.date = record_.date;
    reply.cpu = c.cpu;
    reply.isa = c.isa;
    reply.version = c.version;
    reply.threads = c.threads;
    reply.cpus = c.cpus;
    reply.memory_total = c.memory_total;
    reply.not_stored = not_stored_;
    return reply;
}

SelfMeasurement::Profile StoredMeasurement::announced() const {
    Profile profile = message_of(record_.profile);
    if (part_ == 1) return profile;
    for (auto* rates : {&profile.f32, &profile.f16, &profile.q8, &profile.q4, &profile.k}) {
        for (double* rate : {&rates->one_row, &rates->many_rows, &rates->in_file}) *rate *= part_;
    }
    for (double* rate : {&profile.attend_one, &profile.attend_many, &profile.elements}) {
        *rate *= part_;
    }
    profile.layer_seconds /= part_;
    return profile;
}

std::stop_source StoredMeasurement::measure(Progress progress, Measured done) {
    return background_.post(Background::Task(
        [&loop = loop_, &kernels = kernels_, placement = placement_, progress = std::move(progress),
         done = std::move(done)](const std::stop_token& stop) {
            auto result = measured(kernels, placement, stop, [&](unsigned part, unsigned total) {
                loop.post([progress, part, total] { progress(part, total); });
            });
            malloc_trim(0);  // Nothing needs its buffers for a long while.
            loop.post([done, result = std::move(result)] {
                std::optional<Profile> profile;
                if (result.first) profile = message_of(*result.first);
                done(profile, result.second);
            });
        }));
}

// A state file is synchronised to the disk, which may take long.
void StoredMeasurement::adopt(const Profile& profile, std::function<void()> stored) {
    const auto plausible = profile_of(profile);
    if (!plausible) return stored();
    record_ = {*plausible, conditions_, utc_now()};
    origin_ = ProfileOrigin::measured;
    background_.post(std::function<void()>(
        [this, &loop = loop_, path = path_, record = record_, stored = std::move(stored)] {
            std::string problem;
            try {
                disk::replace_file(path, measure::to_text(record), 0600);
            } catch (const std::exception& error) {
                problem = error.what();
            }
            loop.post([this, problem, stored] {
                not_stored_ = problem;
                stored();
            });
        }));
}

}  // namespace shoal
