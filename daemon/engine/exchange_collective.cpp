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

}  // namespace

// A step begins with a broadcast, for which its root decides and the others wait: what lies between
// the collectives after it is arithmetic.
void ExchangeCollective::computed() noexcept {
    computing_ += Clock::now() - left_;
    ++effort_.exchanges;
}

exec::Status ExchangeCollective::all_gather(std::span<const std::byte> mine,
                                            std::vector<std::span<const std::byte>>& theirs) {
    computed();
    const auto status = status_of(exchange_.all_gather(mine, theirs));
    left_ = Clock::now();
    return status;
}

exec::Status ExchangeCollective::all_to_all(std::span<const std::span<const std::byte>> mine,
                                            std::vector<std::span<const std::byte>>& theirs) {
    computed();
    const auto status = status_of(exchange_.all_to_all(mine, theirs));
    left_ = Clock::now();
    return status;
}

exec::Status ExchangeCollective::broadcast(std::span<const std::byte> payload,
                                           std::span<const std::byte>& received) {
    if (computing_.count() != 0 && !uneven_) {
        ++effort_.steps;
        effort_.nanoseconds += static_cast<std::uint64_t>(
            std::chrono::duration_cast<std::chrono::nanoseconds>(computing_).count());
    }
    computing_ = {};
    uneven_ = false;
    effort_.in_step = false;
    const auto status = status_of(exchange_.broadcast(kRoot, payload, received));
    left_ = Clock::now();
    // The root does other things between its steps; a member waits for the next one.
    effort_.in_step = exchange_.rank() != kRoot && status == exec::Status::ok;
    ++effort_.exchanges;
    return status;
}

exec::Status ExchangeCollective::gather(std::span<const std::byte> mine,
                                        std::vector<std::span<const std::byte>>& theirs) {
    computed();
    const auto status = status_of(exchange_.gather(kRoot, mine, theirs));
    left_ = Clock::now();
    return status;
}

}  // namespace shoal
