// The memory of this device, and what of it plans may take.
#pragma once

#include <cstdint>
#include <filesystem>

namespace shoal {

struct Memory {
    std::uint64_t total = 0;
    std::uint64_t available = 0;  ///< never 0 when `total` is known
};

/// What the system could give to this process, swap left out: MemAvailable, bounded by each cgroup
/// of either version that the process lies in. What a group keeps of files counts as available, as
/// it does in MemAvailable: the kernel drops it when memory is wanted. Zeros when unknown.
Memory read_memory(const std::filesystem::path& root = "/");

/// Bytes that this process holds in memory of its own, files and swap left out.
std::uint64_t private_bytes(const std::filesystem::path& root = "/");

/// Bytes of memory that this process has, of files as well.
std::uint64_t resident_bytes(const std::filesystem::path& root = "/");

/// The memory that this daemon can give to plans. Thread-safe.
class MemoryBudget {
  public:
    /// `limit_bytes` bounds what plans may take; 0: the system alone does. What the process holds
    /// by now is its own; what it takes from now on is taken for plans.
    explicit MemoryBudget(std::uint64_t limit_bytes, std::filesystem::path root = "/");

    /// `available` is what plans may take in all: what the system can give, and what the process
    /// has taken for the plan that it loads, runs or gives up at this moment. A byte moves from one
    /// to the other as it is touched or unmapped, so the sum stays: what a device has said is true
    /// of the next plan as well.
    Memory read() const;

  private:
    const std::uint64_t limit_bytes_;
    const std::filesystem::path root_;
    const std::uint64_t own_bytes_;
};

}  // namespace shoal
