// Which CPUs this process may use, and which of them should compute.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

namespace shoal::exec {

/// A CPU as the operating system numbers them.
struct Cpu {
    std::uint32_t id = 0;
    std::uint32_t core = 0;  ///< the same for the hardware threads of one physical core
    double capacity = 1;     ///< speed beside the others
};

struct CpuTopology {
    std::vector<Cpu> cpus;  ///< those that the affinity mask allows
    double quota = 0;       ///< CPUs' worth of time that the cgroups allow; 0: no limit
};

/// What the system says. `affinity` are the allowed CPUs. Missing files mean cores of their own,
/// equal speeds and no limit. The capacity is cpu_capacity where every CPU has one (ARM), else
/// the highest frequency. Nested cgroups of either version: the tightest limit counts.
CpuTopology read_topology(const std::filesystem::path& root,
                          const std::vector<std::uint32_t>& affinity);
/// The same of this process, now.
CpuTopology read_topology();

/// CPUs for `threads` threads, in the order in which they should be taken: one of each physical
/// core, faster cores first, then second hardware threads likewise. With 0 threads as many as are
/// worth having: one for each physical core, within the quota. Never fewer than one; more threads
/// than CPUs get all CPUs.
std::vector<std::uint32_t> choose_cpus(const CpuTopology& topology, std::uint32_t threads);

/// Threads for a setting of `threads`, where 0 means as many as are worth having.
std::uint32_t thread_count(const CpuTopology& topology, std::uint32_t threads);

/// CPUs on which threads that were meant for `chosen` may run: all that are about as fast as the
/// slowest chosen one, or faster. It keeps them off the little cores when the big ones suffice, and
/// leaves the choice among equals to the scheduler, which alone knows what else the host runs:
/// several daemons that each pinned their threads would all pick the same cores.
std::vector<std::uint32_t> allowed_cpus(const CpuTopology& topology,
                                        const std::vector<std::uint32_t>& chosen);

/// Lets the calling thread, and those that it starts from now on, run on these CPUs only. Empty:
/// changes nothing. False: the system refused, and nothing changed.
bool run_on(const std::vector<std::uint32_t>& cpus) noexcept;

/// "0-3,8": the numbers of a list as Linux writes it; stops at what it cannot read.
std::vector<std::uint32_t> parse_cpu_list(std::string_view text);

}  // namespace shoal::exec
