// Exchange as calls that return when the collective has ended, over a lock-step.
#pragma once

#include <chrono>
#include <memory>
#include <stop_token>
#include <thread>

#include "mesh/exchange/exchange.hpp"
#include "mesh/exchange/lockstep.hpp"
#include "mesh/exchange/port.hpp"

namespace shoal::mesh::exchange {

/// Whoever derives from it says how a collective runs.
class LockstepExchange : public Exchange {
  public:
    std::uint32_t rank() const noexcept override { return lockstep_.rank(); }
    std::uint32_t size() const noexcept override { return lockstep_.size(); }
    ExchangeStatus all_gather(std::span<const std::byte> mine,
                              std::vector<std::span<const std::byte>>& theirs) override;
    ExchangeStatus all_to_all(std::span<const std::span<const std::byte>> mine,
                              std::vector<std::span<const std::byte>>& theirs) override;
    ExchangeStatus broadcast(std::uint32_t root, std::span<const std::byte> payload,
                             std::span<const std::byte>& received) override;
    ExchangeStatus gather(std::uint32_t root, std::span<const std::byte> mine,
                          std::vector<std::span<const std::byte>>& theirs) override;

  protected:
    explicit LockstepExchange(Lockstep& lockstep) noexcept : lockstep_(lockstep) {}
    /// From begin() to its end.
    virtual ExchangeStatus run(const Collective& what) = 0;

    Lockstep& lockstep_;

  private:
    void fill(std::vector<std::span<const std::byte>>& theirs) const;
};

/// How long to look for something before sleeping: as long as that is worth it. Where other threads
/// need the core before a peer can go on, to look longer only takes it from them; then it soon
/// comes to nothing, and is tried now and then.
class Spin {
  public:
    explicit Spin(Clock::duration most) noexcept : most_(most), patience_(most) {}
    /// For the wait that begins.
    Clock::duration begin() noexcept;
    /// What was waited for came while looking.
    void end(bool worth_it) noexcept;

  private:
    static constexpr std::uint32_t kProbeEvery = 64;
    Clock::duration most_, patience_;
    std::uint32_t calls_ = 0;
};

/// One thread, which sleeps on the port. Owned by the thread that made it; asserted.
class BlockingExchange final : public LockstepExchange {
  public:
    /// `spin`: see JoinOptions. `stats` outlives it.
    BlockingExchange(std::unique_ptr<WaitingPort> port, Place place,
                     std::chrono::milliseconds silence_limit, std::chrono::microseconds spin,
                     DataPlaneStats& stats, std::stop_token stop);
    ~BlockingExchange() override;

    /// Waits until every peer has a connection to us and said hello. Called once, first.
    ExchangeStatus join(std::chrono::milliseconds timeout);
    ExchangeFailure failure() const override { return steps_.failure(); }
    /// See Lockstep::meters() and Port::cipher().
    std::shared_ptr<const std::vector<LinkMeter>> meters() const { return steps_.meters(); }
    std::string cipher() const { return port_->cipher(); }

  private:
    ExchangeStatus run(const Collective& what) override;
    ExchangeStatus finish();

    std::unique_ptr<WaitingPort> port_;
    Lockstep steps_;
    Spin spin_;
    const std::stop_token stop_;
    const std::thread::id owner_ = std::this_thread::get_id();
};

}  // namespace shoal::mesh::exchange
