// The executor's collectives over the mesh's data plane.
#pragma once

#include <chrono>
#include <cstdint>

#include "daemon/engine/effort.hpp"
#include "daemon/exec/collective.hpp"
#include "mesh/exchange/exchange.hpp"

namespace shoal {

/// Rank 0 is the root. Owned by the thread that runs the steps; exchange and counter outlive it.
class ExchangeCollective final : public exec::Collective {
  public:
    ExchangeCollective(mesh::Exchange& exchange, EffortCounter& effort) noexcept
        : exchange_(exchange), effort_(effort) {}
    ~ExchangeCollective() override { effort_.in_step = false; }
    ExchangeCollective(const ExchangeCollective&) = delete;
    ExchangeCollective& operator=(const ExchangeCollective&) = delete;

    std::uint32_t rank() const noexcept override { return exchange_.rank(); }
    std::uint32_t size() const noexcept override { return exchange_.size(); }
    void uneven() noexcept override { uneven_ = true; }
    exec::Status all_gather(std::span<const std::byte> mine,
                            std::vector<std::span<const std::byte>>& theirs) override;
    exec::Status all_to_all(std::span<const std::span<const std::byte>> mine,
                            std::vector<std::span<const std::byte>>& theirs) override;
    exec::Status broadcast(std::span<const std::byte> payload,
                           std::span<const std::byte>& received) override;
    exec::Status gather(std::span<const std::byte> mine,
                        std::vector<std::span<const std::byte>>& theirs) override;

  private:
    using Clock = std::chrono::steady_clock;

    void computed() noexcept;
    exec::Status exchanged(mesh::ExchangeStatus status) noexcept;

    mesh::Exchange& exchange_;
    EffortCounter& effort_;
    Clock::time_point entered_, left_;  // the last collective
    Clock::duration computing_{};       // in this step so far
    bool uneven_ = false;               // this step is
};

}  // namespace shoal
