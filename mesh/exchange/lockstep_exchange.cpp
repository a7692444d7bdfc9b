#include "mesh/exchange/lockstep_exchange.hpp"

#include <sched.h>

#include <algorithm>
#include <cassert>
#include <utility>

namespace shoal::mesh::exchange {

Clock::duration Spin::begin() noexcept {
    return ++calls_ % kProbeEvery == 0 ? most_ : patience_;
}

void Spin::end(bool worth_it) noexcept {
    if (worth_it) {
        patience_ = std::min(most_, patience_ * 2 + std::chrono::microseconds(1));
    } else {
        patience_ /= 4;
    }
}

using Kind = Collective::Kind;

ExchangeStatus LockstepExchange::all_gather(std::span<const std::byte> mine,
                                            std::vector<std::span<const std::byte>>& theirs) {
    const auto status = run({Kind::all_gather, 0, mine});
    if (status == ExchangeStatus::ok) fill(theirs);
    return status;
}

ExchangeStatus LockstepExchange::all_to_all(std::span<const std::span<const std::byte>> mine,
                                            std::vector<std::span<const std::byte>>& theirs) {
    const auto status = run({.kind = Kind::all_to_all, .parts = mine});
    if (status == ExchangeStatus::ok) fill(theirs);
    return status;
}

ExchangeStatus LockstepExchange::broadcast(std::uint32_t root, std::span<const std::byte> payload,
                                           std::span<const std::byte>& received) {
    const auto status = run({Kind::broadcast, root, payload});
    if (status == ExchangeStatus::ok) received = lockstep_.payload(root);
    return status;
}

ExchangeStatus LockstepExchange::gather(std::uint32_t root, std::span<const std::byte> mine,
                                        std::vector<std::span<const std::byte>>& theirs) {
    const auto status = run({Kind::gather, root, mine});
    if (status == ExchangeStatus::ok && root == rank()) fill(theirs);
    return status;
}

void LockstepExchange::fill(std::vector<std::span<const std::byte>>& theirs) const {
    theirs.resize(size());
    for (std::uint32_t r = 0; r < size(); ++r) theirs[r] = lockstep_.payload(r);
}

BlockingExchange::BlockingExchange(std::unique_ptr<WaitingPort> port, Place place,
                                   std::chrono::milliseconds silence_limit,
                                   std::chrono::microseconds spin, DataPlaneStats& stats,
                                   std::stop_token stop)
    : LockstepExchange(steps_),
      port_(std::move(port)),
      steps_(*port_, std::move(place), silence_limit, stats),
      spin_(spin),
      stop_(std::move(stop)) {}

BlockingExchange::~BlockingExchange() {
    assert(std::this_thread::get_id() == owner_);
    // Whoever waits for us need not wait for the silence limit.
    steps_.leave();
}

ExchangeStatus BlockingExchange::join(std::chrono::milliseconds timeout) {
    steps_.join(Clock::now(), timeout);
    return finish();
}

ExchangeStatus BlockingExchange::run(const Collective& what) {
    steps_.begin(Clock::now(), what);
    return finish();
}

// What a step waits for comes within microseconds mostly, and to be woken costs as many or more. So
// it looks again and again first, giving the core to whoever wants it in between.
ExchangeStatus BlockingExchange::finish() {
    const auto start = Clock::now();
    const auto patience = spin_.begin();
    bool slept = false;
    for (auto now = start;; now = Clock::now()) {
        if (stop_.stop_requested()) steps_.stop();
        if (const auto status = steps_.step(now)) {
            spin_.end(!slept);
            return *status;
        }
        if (now - start < patience) {
            port_->look();
            sched_yield();
        } else {
            slept = true;
            port_->wait(steps_.deadline() - now);
        }
    }
}

}  // namespace shoal::mesh::exchange
