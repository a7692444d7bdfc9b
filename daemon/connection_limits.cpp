#include "daemon/connection_limits.hpp"

#include <sys/resource.h>

#include <algorithm>

#include "mesh/joining/join_call.hpp"
#include "mesh/joining/join_frames.hpp"

namespace shoal {

using mesh::transport::GateLimits;

namespace {

/// A handshake of CURVE takes some 700 bytes.
constexpr std::uint64_t kHandshakeBytes = 2048;
/// What a device says that is told to ask again each time, until it gives up.
constexpr std::uint64_t kCallBytes =
    kHandshakeBytes +
    mesh::joining::kMaxFrameBytes * static_cast<std::uint64_t>(mesh::joining::JoinCall::kPatience /
                                                               mesh::joining::JoinCall::kAskAgain);

}  // namespace

std::size_t raise_descriptor_limit() noexcept {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
    const rlim_t wanted = std::min<rlim_t>(limit.rlim_max, kMostDescriptors);
    if (limit.rlim_cur < wanted) {
        const rlim_t before = limit.rlim_cur;
        limit.rlim_cur = wanted;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = before;
    }
    return static_cast<std::size_t>(std::min<rlim_t>(limit.rlim_cur, kMostDescriptors));
}

GateLimits mesh_limits(std::size_t descriptors, std::chrono::milliseconds handshake) noexcept {
    GateLimits limits;
    // Three lanes of 256 devices, and the strangers.
    limits.total = std::clamp<std::size_t>(descriptors / 8, 64, 1024);
    limits.unproven = std::min<std::size_t>(limits.total / 2, 256);
    // Sixteen daemons of one machine that start at once open fewer to each.
    limits.per_source = limits.unproven / 2;
    limits.proof = 2 * handshake;
    return limits;
}

GateLimits stranger_limits(std::size_t descriptors) noexcept {
    GateLimits limits;
    limits.total = std::clamp<std::size_t>(descriptors / 64, 16, 64);
    limits.unproven = limits.total;
    limits.per_source = limits.total / 8;
    // Every key may connect, so none proves anything.
    limits.proof = std::chrono::hours(24);
    limits.bytes = kCallBytes;
    return limits;
}

GateLimits client_limits(std::size_t descriptors) noexcept {
    GateLimits limits;
    limits.total = std::clamp<std::size_t>(descriptors / 16, 32, 256);
    limits.unproven = limits.total;
    limits.per_source = limits.total / 2;
    // There is no key: a client never counts for more than its process.
    limits.proof = std::chrono::hours(24 * 365);
    return limits;
}

}  // namespace shoal
