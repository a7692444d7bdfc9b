#include "daemon/device_facts.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <future>
#include <nlohmann/json.hpp>
#include <utility>

#include "config/load.hpp"
#include "config/syntax.hpp"
#include "daemon/exec/cpu_topology.hpp"
#include "daemon/exec/linear.hpp"
#include "daemon/exec/mapped_memory.hpp"
#include "daemon/exec/thread_pool.hpp"
#include "daemon/memory_budget.hpp"
#include "kernels/panel.hpp"

namespace shoal {
namespace {

constexpr auto kMeasureTime = std::chrono::milliseconds(100);

constexpr std::uint32_t kCols = 2048;
// Limits of what is wished, for CPUs that do not tell and for machines that share a huge cache.
constexpr std::uint64_t kLeastMatrix = std::uint64_t{16} << 20;
constexpr std::uint64_t kMostMatrix = std::uint64_t{128} << 20;
// Less than this is measured in no time, and any device has it.
constexpr std::uint64_t kFloorMatrix = std::uint64_t{1} << 20;

std::uint32_t measured_rows() {
    return static_cast<std::uint32_t>(speed_matrix_bytes_here() / kCols / kernels::kPanelRows *
                                      kernels::kPanelRows);
}

// Weight bytes per second of the quickest of some passes over a matrix, stored and multiplied as a
// decoding step does it.
double measured_speed(const kernels::Table& kernels, std::uint32_t threads) {
    const std::uint32_t rows = measured_rows();
    exec::Matrix w;
    w.type = kernels::DType::q8_0;
    w.packed = kernels.pack_for(w.type) != nullptr;
    w.stride = kernels::row_bytes(w.type, kCols);
    w.rows = rows;
    w.cols = kCols;
    w.own_cols = kCols;
    const std::size_t bytes =
        w.packed ? kernels::packed_bytes(w.type, rows, 0, kCols / kernels::kActivationBlock)
                 : rows * w.stride;
    const exec::MappedMemory memory(bytes);
    // Neither layout has bytes that are no weights: these are small scales and codes of one.
    std::fill_n(memory.data(), bytes, std::byte{1});
    w.data = memory.data();
    const std::vector<float> x(kCols, 1.0F);
    std::vector<float> y(rows);
    exec::ThreadPool pool(threads);
    exec::Linear linear(kernels, pool);
    exec::Activations input(kernels, 1, kCols, false);
    input.reset(1, kCols, {&w});
    input.store(0, 0, x.data(), kCols);
    const auto pass = [&] { linear.run(input, {{&w, y.data()}}); };
    pass();
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + kMeasureTime;
    // The quickest pass: what others do on the device meanwhile is not its speed.
    auto quickest = Clock::duration::max();
    do {
        const auto start = Clock::now();
        pass();
        quickest = std::min(quickest, Clock::now() - start);
    } while (Clock::now() < end);
    return static_cast<double>(bytes) / std::chrono::duration<double>(quickest).count();
}

}  // namespace

std::string host_name() {
    std::array<char, 256> name{};
    return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "device";
}

std::uint64_t speed_matrix_bytes(std::uint64_t cache_bytes, std::uint64_t available) {
    const std::uint64_t wished = std::clamp(2 * cache_bytes, kLeastMatrix, kMostMatrix);
    return available == 0 ? kLeastMatrix : std::clamp(available / 8, kFloorMatrix, wished);
}

std::uint64_t speed_matrix_bytes_here() {
    const long cache = std::max(sysconf(_SC_LEVEL3_CACHE_SIZE), sysconf(_SC_LEVEL2_CACHE_SIZE));
    return speed_matrix_bytes(static_cast<std::uint64_t>(std::max(cache, 0L)),
                              read_memory().available);
}

std::string utc_now() {
    return fmt::format(
        "{:%Y-%m-%dT%H:%M:%SZ}",
        fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
}

double rounded_speed(double bytes_per_second) {
    return std::exp2(std::round(std::log2(bytes_per_second) * 2) / 2);
}

double measure_speed(const kernels::Table& kernels, const Placement& placement) {
    // On a thread of its own: the caller's CPUs stay as they are.
    const double speed = std::async(std::launch::async, [&] {
                             exec::run_on(placement.allowed);
                             return measured_speed(kernels, placement.threads);
                         }).get();
    return rounded_speed(speed);
}

const kernels::Table& choose_kernels(const std::string& cpu) {
    if (cpu == "auto") return *kernels::table_for(kernels::best_isa());
    std::string here = "auto";
    bool known = false;
    for (const kernels::Isa isa : kernels::kIsas) {
        const kernels::Table* table = kernels::table_for(isa);
        if (cpu == kernels::name(isa)) {
            if (table != nullptr) return *table;
            known = true;
        }
        if (table != nullptr) here += std::string(", ") + kernels::name(isa);
    }
    throw config::ConfigError(
        "device.cpu: " + config::shown(cpu) +
        (known ? " is not an instruction set of this CPU" : " is no instruction set that I know") +
        "; use one of " + here);
}

Placement place_threads(std::uint32_t threads) {
    const exec::CpuTopology topology = exec::read_topology();
    Placement placement;
    placement.threads = exec::thread_count(topology, threads);
    placement.cpus = exec::choose_cpus(topology, threads);
    placement.allowed = exec::allowed_cpus(topology, placement.cpus);
    if (placement.allowed.size() == topology.cpus.size()) placement.allowed.clear();
    return placement;
}

std::string cpu_text(const config::DeviceSettings& settings) {
    const kernels::Table& chosen = choose_kernels(settings.cpu);
    std::string text = "Instruction sets\n";
    for (const kernels::Isa isa : kernels::kIsas) {
        const kernels::Table* table = kernels::table_for(isa);
        const char* state = table == nullptr ? "not here" : table == &chosen ? "chosen" : "here";
        text += fmt::format("  {:<12} {}\n", kernels::name(isa), state);
    }
    const Placement placement = place_threads(settings.threads);
    text += fmt::format("Threads        {}{}\n", placement.threads,
                        settings.threads == 0 ? "" : " (device.threads)");
    text += fmt::format("CPUs           {} (cores first, fast ones first)\n",
                        fmt::join(placement.cpus, " "));
    text += placement.allowed.empty()
                ? "Kept to        any CPU; the scheduler chooses\n"
                : fmt::format("Kept to        {}\n", fmt::join(placement.allowed, " "));
    return text;
}

std::string cpu_json(const config::DeviceSettings& settings) {
    const kernels::Table& chosen = choose_kernels(settings.cpu);
    nlohmann::ordered_json sets = nlohmann::ordered_json::array();
    for (const kernels::Isa isa : kernels::kIsas) {
        sets.push_back(
            {{"name", kernels::name(isa)}, {"here", kernels::table_for(isa) != nullptr}});
    }
    const Placement placement = place_threads(settings.threads);
    const nlohmann::ordered_json json = {{"cpu", chosen.name},
                                         {"instruction_sets", std::move(sets)},
                                         {"threads", placement.threads},
                                         {"cpus", placement.cpus},
                                         {"kept_to", placement.allowed}};
    return json.dump() + '\n';
}

}  // namespace shoal
