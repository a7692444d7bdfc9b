// This device's end of the data plane: one publishing socket for the life of the daemon, and one
// Exchange per plan.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "mesh/exchange/exchange.hpp"
#include "mesh/wire/identity.hpp"

namespace zmq {
class context_t;
}

namespace shoal::mesh {

class ZmqContext;

struct DataPlaneOptions {
    std::string bind = "*";  ///< address or interface; an IPv6 address in brackets
    std::uint16_t port = 0;  ///< 0: any free
};

struct JoinOptions {
    /// For all devices to have found each other.
    std::chrono::milliseconds timeout{10000};
    /// A device that another waits for and hears nothing from for longer is silent. Must exceed
    /// the longest computation between two collectives.
    std::chrono::milliseconds silence_limit{10000};
    /// How long a call polls before it sleeps. Saves a few microseconds where a core is free for
    /// it, and starves the I/O thread where none is.
    std::chrono::microseconds spin{0};
};

struct JoinResult {
    std::unique_ptr<Exchange> exchange;  ///< nothing unless status is ok
    ExchangeStatus status = ExchangeStatus::ok;
    std::string why;  ///< who is missing, when status is not ok
};

/// What happened on the data plane since the start. Counts only grow.
struct DataPlaneStats {
    std::uint64_t malformed = 0;     ///< frames dropped: not a valid frame, or from the wrong rank
    std::uint64_t foreign = 0;       ///< frames dropped: of another plan
    std::uint64_t duplicates = 0;    ///< data that was there already
    std::uint64_t asked = 0;         ///< resends asked for
    std::uint64_t resent = 0;        ///< frames sent again
    std::uint64_t resubscribed = 0;  ///< connections that peers made anew within a plan
};

/// Owned by one thread (the engine's), which also uses the exchanges; asserted.
class DataPlane {
  public:
    /// CURVE with the identity and the allow-list of `context`, which outlives the data plane.
    /// Throws std::runtime_error when the address cannot be bound, with the address.
    explicit DataPlane(ZmqContext& context, const DataPlaneOptions& options = {});
    /// Without encryption or authentication: for measurements and tests only.
    explicit DataPlane(zmq::context_t& context, const DataPlaneOptions& options = {});
    /// Requires: no exchange of it is left.
    ~DataPlane();
    DataPlane(const DataPlane&) = delete;
    DataPlane& operator=(const DataPlane&) = delete;

    std::uint16_t port() const noexcept;
    /// "tcp://HOST:port", to be announced; `host` may be an IPv6 address without brackets.
    std::string endpoint(const std::string& host) const;

    /// Takes part in `plan` as peers[rank] and returns when every device of the plan has a
    /// connection to every other, or why there is none. A plan of one device uses no sockets.
    /// Destroying the exchange leaves the plan; only one exists at a time, and a plan is joined
    /// once: who joins it again would meet the numbers of its former self.
    /// Requires: rank < peers.size() <= kMaxRanks.
    JoinResult join(const PlanId& plan, std::uint32_t rank, std::vector<Peer> peers,
                    const JoinOptions& options, std::stop_token stop);

    const DataPlaneStats& stats() const noexcept;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::mesh
