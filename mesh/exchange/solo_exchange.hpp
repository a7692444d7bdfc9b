// A plan of one device: every collective is done when it begins.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "mesh/exchange/exchange.hpp"

namespace shoal::mesh::exchange {

/// What other exchanges copy is copied, so that views live as long as theirs.
class SoloExchange final : public Exchange {
  public:
    explicit SoloExchange(std::stop_token stop) : stop_(std::move(stop)) {}

    std::uint32_t rank() const noexcept override { return 0; }
    std::uint32_t size() const noexcept override { return 1; }
    ExchangeStatus all_gather(std::span<const std::byte> mine,
                              std::vector<std::span<const std::byte>>& theirs) override {
        kept_.assign(mine.begin(), mine.end());
        theirs.assign(1, kept_);
        return status();
    }
    ExchangeStatus all_to_all(std::span<const std::span<const std::byte>> mine,
                              std::vector<std::span<const std::byte>>& theirs) override {
        assert(mine.size() == 1);
        theirs.assign(mine.begin(), mine.end());
        return status();
    }
    ExchangeStatus broadcast([[maybe_unused]] std::uint32_t root,
                             std::span<const std::byte> payload,
                             std::span<const std::byte>& received) override {
        assert(root == 0);
        kept_.assign(payload.begin(), payload.end());
        received = kept_;
        return status();
    }
    ExchangeStatus gather([[maybe_unused]] std::uint32_t root, std::span<const std::byte> mine,
                          std::vector<std::span<const std::byte>>& theirs) override {
        assert(root == 0);
        return all_gather(mine, theirs);
    }
    ExchangeFailure failure() const override {
        return {stop_.stop_requested() ? "stopped" : "", {}};
    }

  private:
    ExchangeStatus status() const noexcept {
        return stop_.stop_requested() ? ExchangeStatus::aborted : ExchangeStatus::ok;
    }

    std::stop_token stop_;
    std::vector<std::byte> kept_;
};

}  // namespace shoal::mesh::exchange
