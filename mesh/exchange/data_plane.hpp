// This device's end of the data plane: one publishing socket for the life of the daemon, and one
// Exchange per plan.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "mesh/exchange/exchange.hpp"
#include "mesh/exchange/link_meter.hpp"
#include "mesh/exchange/stats.hpp"
#include "mesh/wire/identity.hpp"

namespace zmq {
class context_t;
}

namespace shoal::mesh {

class ZmqContext;

/// A busy device may take its time for a handshake, and one given up too early only begins again.
inline constexpr std::chrono::milliseconds kDataHandshakeTimeout{2000};

/// How frames travel; the same on all devices of a cluster.
enum class DataTransport : std::uint8_t {
    zmtp,    ///< by the thread that computes (zmtp/)
    libzmq,  ///< by libzmq's I/O thread
};

struct DataPlaneOptions {
    std::string bind = "*";  ///< address or interface; an IPv6 address in brackets
    std::uint16_t port = 0;  ///< 0: any free
    DataTransport transport = DataTransport::zmtp;
    bool encrypt = true;  ///< false: whoever reaches the port can read and disturb
};

struct JoinOptions {
    /// For all devices to have found each other.
    std::chrono::milliseconds timeout{10000};
    /// A device that another waits for and hears nothing from for longer is silent. Must exceed
    /// the longest computation between two collectives.
    std::chrono::milliseconds silence_limit{10000};
    /// How long a call looks again and again before it sleeps, as long as no other thread wants
    /// the core; nothing: what is good for the transport.
    std::optional<std::chrono::microseconds> spin;
};

struct JoinResult {
    std::unique_ptr<Exchange> exchange;  ///< nothing unless status is ok
    ExchangeStatus status = ExchangeStatus::ok;
    ExchangeFailure why;  ///< when status is not ok
};

/// Owned by one thread (the engine's), which also uses the exchanges; asserted.
class DataPlane {
  public:
    /// Encrypted with the identity and the allow-list of `context`, which outlives the data plane.
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

    /// Thread-safe.
    const DataPlaneStats& stats() const noexcept;
    /// The links of the last plan that was joined. Thread-safe.
    std::vector<LinkReport> links() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::mesh
