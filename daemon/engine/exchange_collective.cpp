#include "daemon/engine/exchange_collective.hpp"

namespace shoal {
namespace {

constexpr std::uint32_t kRoot = 0;

exec::Status status_of(mesh::ExchangeStatus status) noexcept {
    switch (status) {
        case mesh::ExchangeStatus::ok:
            return exec::Status::ok;
        case mesh::ExchangeStatus::aborted:
            return exec::Status::aborted;
        case mesh::ExchangeStatus::timed_out:
            return exec::Status::timed_out;
    }
    return exec::Status::aborted;
}

std::uint64_t nanoseconds(std::chrono::steady_clock::duration time) noexcept {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(time).count());
}

}  // namespace

// A step begins with a broadcast, for which its root decides and the others wait: what lies between
// the collectives after it is arithmetic.
void ExchangeCollective::computed() noexcept {
    entered_ = Clock::now();
    computing_ += entered_ - left_;
    ++effort_.exchanges;
}

exec::Status ExchangeCollective::exchanged(mesh::ExchangeStatus status) noexcept {
    left_ = Clock::now();
    effort_.collective_nanoseconds += nanoseconds(left_ - entered_);
    ++effort_.collectives;
    return status_of(status);
}

exec::Status ExchangeCollective::all_gather(std::span<const std::byte> mine,
                                            std::vector<std::span<const std::byte>>& theirs) {
    computed();
    return exchanged(exchange_.all_gather(mine, theirs));
}

exec::Status ExchangeCollective::all_to_all(std::span<const std::span<const std::byte>> mine,
                                            std::vector<std::span<const std::byte>>& theirs) {
    computed();
    return exchanged(exchange_.all_to_all(mine, theirs));
}

exec::Status ExchangeCollective::broadcast(std::span<const std::byte> payload,
                                           std::span<const std::byte>& received) {
    if (computing_.count() != 0 && !uneven_) {
        ++effort_.steps;
        effort_.nanoseconds += nanoseconds(computing_);
    }
    computing_ = {};
    uneven_ = false;
    effort_.in_step = false;
    const auto status = status_of(exchange_.broadcast(kRoot, payload, received));
    left_ = Clock::now();
    // The root does other things between its steps; a member waits for the next one.
    effort_.in_step = exchange_.rank() != kRoot && status == exec::Status::ok;
    ++effort_.exchanges;
    if (status == exec::Status::ok) ++effort_.all_steps;
    return status;
}

exec::Status ExchangeCollective::gather(std::span<const std::byte> mine,
                                        std::vector<std::span<const std::byte>>& theirs) {
    computed();
    return exchanged(exchange_.gather(kRoot, mine, theirs));
}

}  // namespace shoal
