#include "mesh/transport/accept_gate.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace shoal::mesh::transport {

Source source_of(const sockaddr_storage& address) noexcept {
    Source source{};
    if (address.ss_family == AF_INET) {
        sockaddr_in in{};
        std::memcpy(&in, &address, sizeof in);
        // As the IPv6 form of an IPv4 address, which is how a listener for both sees it.
        source[10] = source[11] = 0xff;
        std::memcpy(&source[12], &in.sin_addr, 4);
        return source;
    }
    sockaddr_in6 in{};
    std::memcpy(&in, &address, sizeof in);
    const bool is_whole = IN6_IS_ADDR_V4MAPPED(&in.sin6_addr) ||
                          IN6_IS_ADDR_LINKLOCAL(&in.sin6_addr) ||
                          IN6_IS_ADDR_LOOPBACK(&in.sin6_addr);
    std::memcpy(source.data(), &in.sin6_addr, is_whole ? 16 : 8);
    return source;
}

Source source_of_process(pid_t process) noexcept {
    Source source{};
    std::memcpy(source.data(), &process, sizeof process);
    return source;
}

std::vector<AcceptGate::Connection> AcceptGate::unproven(const Source* source, Time now) {
    std::vector<Connection> found;
    std::erase_if(connections_, [&](const Connection& c) {
        if (!is_unproven(c, now) || (source != nullptr && c.source != *source)) return false;
        if (!probe_.is_open(c)) return true;
        found.push_back(c);
        return false;
    });
    return found;
}

AcceptGate::Verdict AcceptGate::arrive(const Connection& newcomer) {
    const Time now = newcomer.since;
    std::erase_if(connections_,
                  [&](const Connection& c) { return c.descriptor == newcomer.descriptor; });
    // Counting what it remembers is cheap and errs upward; only at a limit it asks who is there.
    std::size_t all = 0, of_source = 0;
    for (const Connection& c : connections_) {
        if (!is_unproven(c, now)) continue;
        ++all;
        if (c.source == newcomer.source) ++of_source;
    }
    Verdict verdict;
    const bool source_is_full = of_source >= limits_.per_source;
    if (source_is_full || all >= limits_.unproven) {
        const std::vector<Connection> there =
            unproven(source_is_full ? &newcomer.source : nullptr, now);
        if (there.size() >= (source_is_full ? limits_.per_source : limits_.unproven)) {
            const auto silent = std::ranges::find_if(there, probe_.is_silent);
            if (silent == there.end()) return verdict;
            verdict.closed = *silent;
            std::erase_if(connections_,
                          [&](const Connection& c) { return c.descriptor == silent->descriptor; });
        }
    }
    if (connections_.size() >= limits_.total) {
        std::erase_if(connections_, [&](const Connection& c) { return !probe_.is_open(c); });
        if (connections_.size() >= limits_.total) return verdict;
    }
    connections_.push_back(newcomer);
    verdict.admitted = true;
    return verdict;
}

}  // namespace shoal::mesh::transport
