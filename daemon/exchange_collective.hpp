// The executor's collectives over the mesh's data plane.
#pragma once

#include "daemon/exec/collective.hpp"
#include "mesh/exchange/exchange.hpp"

namespace shoal {

/// Rank 0 is the root. Owned by the thread that runs the steps; the exchange outlives it.
class ExchangeCollective final : public exec::Collective {
  public:
    explicit ExchangeCollective(mesh::Exchange& exchange) noexcept : exchange_(exchange) {}

    std::uint32_t rank() const noexcept override { return exchange_.rank(); }
    std::uint32_t size() const noexcept override { return exchange_.size(); }
    exec::Status all_gather(std::span<const std::byte> mine,
                            std::vector<std::span<const std::byte>>& theirs) override;
    exec::Status broadcast(std::span<const std::byte> payload,
                           std::span<const std::byte>& received) override;
    exec::Status gather(std::span<const std::byte> mine,
                        std::vector<std::span<const std::byte>>& theirs) override;

  private:
    mesh::Exchange& exchange_;
};

}  // namespace shoal
