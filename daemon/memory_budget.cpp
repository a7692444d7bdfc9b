#include "daemon/memory_budget.hpp"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <utility>

#include "daemon/exec/cgroups.hpp"

namespace shoal {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();

std::uint64_t above(std::uint64_t a, std::uint64_t b) {
    return a - std::min(a, b);
}

// The number in a file of a cgroup; `missing` when there is none, or the word "max".
std::uint64_t number_in(const fs::path& path, std::uint64_t missing) {
    std::ifstream file(path);
    std::uint64_t value = 0;
    return file >> value ? value : missing;
}

// Bytes that a cgroup's memory.stat says of the keys, together.
std::uint64_t stat_sum(const fs::path& path, std::initializer_list<std::string_view> keys) {
    std::ifstream file(path);
    std::uint64_t sum = 0;
    std::string key;
    for (std::uint64_t value = 0; file >> key >> value;) {
        if (std::find(keys.begin(), keys.end(), key) != keys.end()) sum += value;
    }
    return sum;
}

// Beyond memory.high a group is slowed down until nobody can use it: that is a limit, too.
Memory unified_bound(const fs::path& group) {
    const std::uint64_t limit = std::min(number_in(group / "memory.max", kNoLimit),
                                         number_in(group / "memory.high", kNoLimit));
    const std::uint64_t files =
        stat_sum(group / "memory.stat", {"inactive_file", "active_file", "slab_reclaimable"});
    return {limit, above(limit, above(number_in(group / "memory.current", 0), files))};
}

// Version 1 tells the limit of the groups above as well, which a container may not see otherwise;
// it does not tell what of the slabs can be had back.
Memory first_version_bound(const fs::path& group) {
    const fs::path stat = group / "memory.stat";
    const std::uint64_t above_us = stat_sum(stat, {"hierarchical_memory_limit"});
    const std::uint64_t limit = std::min(number_in(group / "memory.limit_in_bytes", kNoLimit),
                                         above_us == 0 ? kNoLimit : above_us);
    const std::uint64_t files = stat_sum(stat, {"total_inactive_file", "total_active_file"});
    return {limit, above(limit, above(number_in(group / "memory.usage_in_bytes", 0), files))};
}

Memory system_memory(const fs::path& root) {
    Memory memory;
    std::ifstream file(root / "proc/meminfo");
    for (std::string line; std::getline(file, line);) {
        std::istringstream fields(line);
        std::string key;
        std::uint64_t kib = 0;
        if (!(fields >> key >> kib)) continue;
        if (key == "MemTotal:") memory.total = kib * 1024;
        if (key == "MemAvailable:") memory.available = kib * 1024;
    }
    return memory;
}

struct Resident {
    std::uint64_t all = 0, shared = 0;
};

Resident resident(const fs::path& root) {
    static const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    std::ifstream file(root / "proc/self/statm");
    std::uint64_t size = 0, all = 0, shared = 0;
    return file >> size >> all >> shared ? Resident{all * page, shared * page} : Resident{};
}

}  // namespace

Memory read_memory(const fs::path& root) {
    const Memory system = system_memory(root);
    if (system.total == 0) return {};
    Memory memory = system;
    for (const exec::Cgroup& group : exec::own_cgroups(root, "memory")) {
        const Memory bound =
            group.unified ? unified_bound(group.folder) : first_version_bound(group.folder);
        // Version 1 writes "no limit" as a number larger than any memory.
        if (bound.total >= system.total) continue;
        memory.total = std::min(memory.total, bound.total);
        memory.available = std::min(memory.available, bound.available);
    }
    memory.available = std::max<std::uint64_t>(memory.available, 1);
    return memory;
}

std::uint64_t private_bytes(const fs::path& root) {
    const Resident now = resident(root);
    return above(now.all, now.shared);
}

std::uint64_t resident_bytes(const fs::path& root) {
    return resident(root).all;
}

MemoryBudget::MemoryBudget(std::uint64_t limit_bytes, fs::path root)
    : limit_bytes_(limit_bytes), root_(std::move(root)), own_bytes_(private_bytes(root_)) {}

Memory MemoryBudget::read() const {
    // The process first: what is taken between the two is then missing for a moment, not promised
    // twice.
    const std::uint64_t taken = above(private_bytes(root_), own_bytes_);
    Memory memory = read_memory(root_);
    if (memory.total != 0) memory.available = std::min(memory.total, memory.available + taken);
    if (limit_bytes_ != 0) {
        memory.total = memory.total == 0 ? limit_bytes_ : std::min(memory.total, limit_bytes_);
        memory.available =
            memory.available == 0 ? limit_bytes_ : std::min(memory.available, limit_bytes_);
    }
    return memory;
}

}  // namespace shoal
