// A number that grows while others look at it.
#pragma once

#include <atomic>
#include <cstdint>

namespace shoal::mesh {

/// A number that one thread adds to, and any reads.
class Count {
  public:
    Count(std::uint64_t value = 0) noexcept : value_(value) {}
    Count(const Count& other) noexcept : value_(other) {}
    Count& operator=(const Count& other) noexcept {
        value_.store(other, std::memory_order_relaxed);
        return *this;
    }
    operator std::uint64_t() const noexcept { return value_.load(std::memory_order_relaxed); }
    void operator+=(std::uint64_t more) noexcept {
        value_.store(*this + more, std::memory_order_relaxed);
    }
    void operator++() noexcept { *this += 1; }

  private:
    std::atomic<std::uint64_t> value_;
};

}  // namespace shoal::mesh
