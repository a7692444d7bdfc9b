#include "daemon/exec/cpu_topology.hpp"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "daemon/exec/cgroups.hpp"

namespace shoal::exec {
namespace {

namespace fs = std::filesystem;

// Capacities that differ by less belong to equal cores: some x86 cores clock a few percent above
// their neighbours.
constexpr double kSimilar = 0.8;

// More than a cpu_set_t holds: the calls fail when the kernel's mask is wider than ours.
constexpr std::size_t kMaxCpus = 8192;

std::string first_line(const fs::path& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

// A number in a file; 0 when there is none.
double number_in(const fs::path& path) {
    std::ifstream file(path);
    double value = 0;
    return file >> value && value > 0 ? value : 0;
}

double tighter(double a, double b) {
    if (a <= 0 || b <= 0) return std::max({a, b, 0.0});
    return std::min(a, b);
}

// cgroup v2: "max 100000" or "150000 100000", of a period.
double quota_v2(const fs::path& folder) {
    std::istringstream fields(first_line(folder / "cpu.max"));
    double quota = 0, period = 0;
    return fields >> quota >> period && quota > 0 && period > 0 ? quota / period : 0;
}

double quota_v1(const fs::path& folder) {
    const double quota = number_in(folder / "cpu.cfs_quota_us");
    const double period = number_in(folder / "cpu.cfs_period_us");
    return quota > 0 && period > 0 ? quota / period : 0;
}

double read_quota(const fs::path& root) {
    double quota = 0;
    for (const Cgroup& group : own_cgroups(root, "cpu")) {
        quota = tighter(quota, group.unified ? quota_v2(group.folder) : quota_v1(group.folder));
    }
    return quota;
}

// Gives each CPU the number in its file, if all have one.
bool read_capacities(const fs::path& folder, const char* file, std::vector<Cpu>& cpus) {
    std::vector<double> values;
    for (const Cpu& cpu : cpus) {
        values.push_back(number_in(folder / ("cpu" + std::to_string(cpu.id)) / file));
        if (values.back() <= 0) return false;
    }
    for (std::size_t i = 0; i < cpus.size(); ++i) cpus[i].capacity = values[i];
    return true;
}

// Faster first; of equal ones in the system's order.
void sort_by_speed(std::vector<Cpu>& cpus) {
    std::sort(cpus.begin(), cpus.end(), [](const Cpu& a, const Cpu& b) {
        return a.capacity > b.capacity || (a.capacity == b.capacity && a.id < b.id);
    });
}

std::size_t physical_cores(const CpuTopology& topology) {
    std::set<std::uint32_t> cores;
    for (const Cpu& cpu : topology.cpus) cores.insert(cpu.core);
    return cores.size();
}

}  // namespace

std::vector<std::uint32_t> parse_cpu_list(std::string_view text) {
    std::vector<std::uint32_t> cpus;
    const char* at = text.data();
    const char* const end = at + text.size();
    const auto number = [&](std::uint32_t& value) {
        const auto [next, error] = std::from_chars(at, end, value);
        if (error != std::errc() || value >= kMaxCpus) return false;
        at = next;
        return true;
    };
    while (at != end) {
        std::uint32_t first = 0;
        if (!number(first)) break;
        std::uint32_t last = first;
        if (at != end && *at == '-') {
            ++at;
            if (!number(last)) break;
        }
        for (std::uint32_t cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
        if (at == end || *at != ',') break;
        ++at;
    }
    return cpus;
}

CpuTopology read_topology(const std::filesystem::path& root,
                          const std::vector<std::uint32_t>& affinity) {
    const fs::path folder = root / "sys/devices/system/cpu";
    CpuTopology topology;
    for (const std::uint32_t id : affinity) {
        Cpu cpu{id, id, 1};
        const auto siblings = parse_cpu_list(
            first_line(folder / ("cpu" + std::to_string(id)) / "topology/thread_siblings_list"));
        if (!siblings.empty()) cpu.core = *std::min_element(siblings.begin(), siblings.end());
        topology.cpus.push_back(cpu);
    }
    if (!read_capacities(folder, "cpu_capacity", topology.cpus)) {
        read_capacities(folder, "cpufreq/cpuinfo_max_freq", topology.cpus);
    }
    topology.quota = read_quota(root);
    return topology;
}

CpuTopology read_topology() {
    cpu_set_t sets[kMaxCpus / CPU_SETSIZE];
    CPU_ZERO_S(sizeof sets, sets);
    std::vector<std::uint32_t> affinity;
    if (sched_getaffinity(0, sizeof sets, sets) == 0) {
        for (std::uint32_t cpu = 0; cpu < kMaxCpus; ++cpu) {
            if (CPU_ISSET_S(cpu, sizeof sets, sets)) affinity.push_back(cpu);
        }
    }
    if (affinity.empty()) affinity.push_back(0);
    return read_topology("/", affinity);
}

std::uint32_t thread_count(const CpuTopology& topology, std::uint32_t threads) {
    if (threads != 0) return threads;
    double cores = static_cast<double>(physical_cores(topology));
    // A started CPU is a thread: the last one then waits for part of each period.
    if (topology.quota > 0) cores = std::min(cores, std::ceil(topology.quota));
    return std::max(1U, static_cast<std::uint32_t>(cores));
}

std::vector<std::uint32_t> choose_cpus(const CpuTopology& topology, std::uint32_t threads) {
    std::vector<Cpu> left = topology.cpus;
    sort_by_speed(left);
    const std::size_t wanted = std::min<std::size_t>(thread_count(topology, threads), left.size());
    std::vector<std::uint32_t> chosen;
    // Each round takes one CPU of every core that has any left.
    while (chosen.size() < wanted) {
        std::set<std::uint32_t> taken;
        std::vector<Cpu> later;
        for (const Cpu& cpu : left) {
            if (taken.insert(cpu.core).second) {
                chosen.push_back(cpu.id);
            } else {
                later.push_back(cpu);
            }
        }
        left = std::move(later);
    }
    chosen.resize(wanted);
    return chosen;
}

std::vector<std::uint32_t> allowed_cpus(const CpuTopology& topology,
                                        const std::vector<std::uint32_t>& chosen) {
    const auto is_chosen = [&](const Cpu& cpu) {
        return std::find(chosen.begin(), chosen.end(), cpu.id) != chosen.end();
    };
    double slowest = INFINITY;
    for (const Cpu& cpu : topology.cpus) {
        if (is_chosen(cpu)) slowest = std::min(slowest, cpu.capacity);
    }
    std::vector<std::uint32_t> allowed;
    for (const Cpu& cpu : topology.cpus) {
        if (is_chosen(cpu) || cpu.capacity >= kSimilar * slowest) allowed.push_back(cpu.id);
    }
    return allowed;
}

bool run_on(const std::vector<std::uint32_t>& cpus) noexcept {
    cpu_set_t sets[kMaxCpus / CPU_SETSIZE];
    CPU_ZERO_S(sizeof sets, sets);
    for (const std::uint32_t cpu : cpus) {
        if (cpu < kMaxCpus) CPU_SET_S(cpu, sizeof sets, sets);
    }
    return cpus.empty() || sched_setaffinity(0, sizeof sets, sets) == 0;
}

}  // namespace shoal::exec
