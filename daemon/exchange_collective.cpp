#include "daemon/exchange_collective.hpp"

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

exec::Status ExchangeCollective::all_gather(std::span<const std::byte> mine,
                                            std::vector<std::span<const std::byte>>& theirs) {
    return status_of(exchange_.all_gather(mine, theirs));
}

exec::Status ExchangeCollective::broadcast(std::span<const std::byte> payload,
                                           std::span<const std::byte>& received) {
    return status_of(exchange_.broadcast(kRoot, payload, received));
}

exec::Status ExchangeCollective::gather(std::span<const std::byte> mine,
                                        std::vector<std::span<const std::byte>>& theirs) {
    return status_of(exchange_.gather(kRoot, mine, theirs));
}

}  // namespace shoal
