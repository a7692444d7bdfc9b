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

/// The devices of one plan. Thread-safe; members keep the shared state alive.
///
/// Payloads are copied, and the views handed out start at odd addresses on purpose: a network
/// frame has no alignment either, and a caller that assumes one is to fail here, under the
/// sanitizers, and not on a board.
class MemoryGroup {
  public:
    /// Requires: 1 <= size <= 65535.
    explicit MemoryGroup(std::uint32_t size, MemoryExchangeOptions options = {});
    ~MemoryGroup();
    MemoryGroup(MemoryGroup&&) noexcept;
    MemoryGroup& operator=(MemoryGroup&&) noexcept;

    /// The device `rank`; used by one thread, taken once. Destroying it leaves the plan: whoever
    /// still waits for it gets `aborted`.
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
