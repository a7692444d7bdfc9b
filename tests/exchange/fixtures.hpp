// What every implementation of Exchange is tested with.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "mesh/exchange/exchange.hpp"
#include "mesh/exchange/memory_exchange.hpp"

namespace shoal::mesh::testing {

using Clock = std::chrono::steady_clock;
using Views = std::vector<std::span<const std::byte>>;

/// Bytes that tell who sent them, when, and in which order.
inline std::vector<std::byte> pattern(std::uint32_t rank, std::uint64_t step, std::size_t size) {
    std::vector<std::byte> bytes(size);
    const auto seed = static_cast<std::uint32_t>(step * 2654435761u + rank * 40503u + 17);
    for (std::size_t i = 0; i < size; ++i) {
        bytes[i] = static_cast<std::byte>((seed + i * 131u) >> (i % 3 * 4));
    }
    return bytes;
}

inline void expect(bool condition, const std::string& what) {
    if (!condition) throw std::runtime_error(what);
}
inline void expect_pattern(std::span<const std::byte> got, std::uint32_t rank, std::uint64_t step,
                           std::size_t size) {
    const auto want = pattern(rank, step, size);
    if (got.size() == want.size() && std::equal(want.begin(), want.end(), got.begin())) return;
    throw std::runtime_error("wrong payload of rank " + std::to_string(rank) + " at step " +
                             std::to_string(step) + ": " + std::to_string(got.size()) +
                             " bytes, expected " + std::to_string(size));
}
inline void expect_ok(ExchangeStatus status, std::uint64_t step) {
    expect(status == ExchangeStatus::ok, "step " + std::to_string(step) + " ended with status " +
                                             std::to_string(static_cast<int>(status)));
}

/// Runs body(rank) in one thread per rank and rethrows the first failure.
inline void run_ranks(std::uint32_t size, const std::function<void(std::uint32_t)>& body) {
    std::vector<std::exception_ptr> failures(size);
    {
        std::vector<std::jthread> threads;
        for (std::uint32_t rank = 0; rank < size; ++rank) {
            threads.emplace_back([&, rank] {
                try {
                    body(rank);
                } catch (...) {
                    failures[rank] = std::current_exception();
                }
            });
        }
    }
    for (const auto& failure : failures) {
        if (failure) std::rethrow_exception(failure);
    }
}

/// A group of threads over MemoryExchange.
class MemoryFixture {
  public:
    static constexpr const char* kName = "memory";

    explicit MemoryFixture(std::uint32_t size,
                           std::chrono::milliseconds silence_limit = std::chrono::seconds(10))
        : group_(size, {silence_limit, stop_.get_token()}) {}

    /// Called in the thread of `rank`.
    std::unique_ptr<Exchange> join(std::uint32_t rank) { return group_.member(rank); }
    /// Stops all ranks.
    void abort() { stop_.request_stop(); }

  private:
    std::stop_source stop_;
    MemoryGroup group_;
};

}  // namespace shoal::mesh::testing
