// Exchange among the threads of one process: N devices in one program, for tests and demos.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <vector>

#include "mesh/exchange/exchange.hpp"

namespace shoal::mesh {

struct MemoryExchangeOptions {
    /// A peer that another waits for longer than this is silent; 0: wait for ever.
    std::chrono::milliseconds silence_limit{0};
    /// Stopping it aborts the whole group.
    std::stop_token stop;
};

/// The devices of one plan, in lock-step as over a network. Thread-safe; members keep the shared
/// state alive. Payloads are copied once, and the views handed out are not aligned.
class MemoryGroup {
  public:
    /// Throws std::invalid_argument unless 1 <= size <= kMaxRanks.
    explicit MemoryGroup(std::uint32_t size, MemoryExchangeOptions options = {});
    ~MemoryGroup();
    MemoryGroup(MemoryGroup&&) noexcept;
    MemoryGroup& operator=(MemoryGroup&&) noexcept;

    /// The device `rank`; used by one thread. Destroying it leaves the plan: whoever still waits
    /// for it gets `aborted`. Throws std::invalid_argument when it does not exist or was taken.
    std::unique_ptr<Exchange> member(std::uint32_t rank);
    /// Every pending and later call of every member returns `aborted`.
    void abort() noexcept;

    struct State;

  private:
    std::shared_ptr<State> state_;
};

/// All members of a new group, in rank order.
std::vector<std::unique_ptr<Exchange>> make_memory_exchange(std::uint32_t size,
                                                            MemoryExchangeOptions options = {});

}  // namespace shoal::mesh
