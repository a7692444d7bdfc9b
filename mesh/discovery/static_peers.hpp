// Devices that the configuration names.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mesh/discovery/beacon_link.hpp"

namespace shoal::mesh::discovery {

/// Reads "host", "host:port", "[IPv6]:port" or a bare IPv6 address.
/// Throws std::runtime_error with the text when it is none of these.
Endpoint parse_peer(const std::string& text, std::uint16_t default_port);

/// Keeps the addresses of the configured peers. Names are looked up by threads of their own and
/// again from time to time, because a device may get a new address. Owned by one thread.
class StaticPeers {
  public:
    using Time = std::chrono::steady_clock::time_point;
    /// Between look-ups of a name, known and unknown.
    static constexpr std::chrono::seconds kRefresh{60};
    static constexpr std::chrono::seconds kRetry{5};
    static constexpr std::size_t kMaxAddresses = 8;  ///< of one name

    /// Throws std::runtime_error when a peer is malformed.
    StaticPeers(const std::vector<std::string>& peers, std::uint16_t default_port);
    ~StaticPeers();
    StaticPeers(const StaticPeers&) = delete;
    StaticPeers& operator=(const StaticPeers&) = delete;

    /// The addresses known by now. Never blocks.
    std::vector<Endpoint> endpoints(Time now);
    /// Names that have no address, as far as is known.
    std::vector<std::string> unresolved() const;

  private:
    class Lookup;
    struct Peer {
        Endpoint named;
        std::vector<Endpoint> addresses;
        std::unique_ptr<Lookup> lookup;
        Time next;
        bool is_numeric = false;
        bool failed = false;  ///< the latest look-up found nothing
    };
    void advance(Peer& peer, Time now);

    std::vector<Peer> peers_;
};

}  // namespace shoal::mesh::discovery
