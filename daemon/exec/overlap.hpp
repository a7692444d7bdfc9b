// Two halves of a step that compute in turns: while what one sends is under way, the other
// computes.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "daemon/exec/collective.hpp"

namespace shoal::exec {

/// What lies between two collectives, and the collectives, are one half's and the other's in strict
/// turns, beginning with the first half's, until a half has ended. So all devices make the same
/// calls in the same order, the second half finds what the first one left in the same layer (K and
/// V), and whoever computes has all that belongs to the thread that runs the steps.
/// Requires: both have as many collectives up to the last place where the second half needs what the
/// first one left.
class Overlap {
  public:
    using Half = std::function<Status(std::size_t half, LayerCollective& collective)>;

    /// `collective` outlives it, and is called by two threads, one at a time.
    explicit Overlap(LayerCollective& collective) noexcept
        : collective_(collective), sides_{Side(*this, 0), Side(*this, 1)} {}
    Overlap(const Overlap&) = delete;
    Overlap& operator=(const Overlap&) = delete;

    /// Runs `half` for both, the first in this thread, to the end of both. Ok, or what went wrong
    /// first; throws what a half threw, and std::system_error when no thread is to be had. Once.
    Status run(const Half& half);

  private:
    /// A half's collective. Views stay valid until this half's next call.
    class Side final : public LayerCollective {
      public:
        Side(Overlap& both, std::size_t half) noexcept : both_(both), half_(half) {}
        std::uint32_t rank() const noexcept override { return both_.collective_.rank(); }
        std::uint32_t size() const noexcept override { return both_.collective_.size(); }
        Status all_gather(std::span<const std::byte> mine,
                          std::vector<std::span<const std::byte>>& theirs) override;
        Status all_to_all(std::span<const std::span<const std::byte>> mine,
                          std::vector<std::span<const std::byte>>& theirs) override;

      private:
        Status kept(Status status, std::vector<std::span<const std::byte>>& theirs);

        Overlap& both_;
        const std::size_t half_;
        std::vector<std::byte> kept_;
    };

    void run_half(std::size_t half, const Half& body) noexcept;
    template <typename Call>
    Status exchange(std::size_t half, const Call& call);
    void wait_for(std::unique_lock<std::mutex>& lock, const std::size_t& turn, std::size_t half);
    void fail(Status status) noexcept;

    LayerCollective& collective_;
    std::array<Side, 2> sides_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::size_t computes_ = 0;   ///< whose turn it is to compute
    std::size_t exchanges_ = 0;  ///< whose collective comes next
    std::array<bool, 2> ended_{};
    std::array<std::exception_ptr, 2> thrown_;
    Status failed_ = Status::ok;
};

}  // namespace shoal::exec
