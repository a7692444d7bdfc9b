#include "daemon/connection_limits.hpp"

#include <sys/resource.h>

#include <algorithm>

namespace shoal {

using mesh::transport::GateLimits;

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
