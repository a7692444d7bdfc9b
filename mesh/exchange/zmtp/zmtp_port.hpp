// ZeroMQ publish/subscribe as a port, spoken by the thread that computes: no other thread has to
// wake up for a frame to leave or to come. An unmodified ZeroMQ socket understands it, as long as
// frames are not sealed.
#pragma once

#include <poll.h>

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "mesh/exchange/lockstep.hpp"
#include "mesh/exchange/port.hpp"
#include "mesh/exchange/port_maker.hpp"
#include "mesh/exchange/stop_event.hpp"
#include "mesh/exchange/zmtp/connector.hpp"
#include "mesh/exchange/zmtp/seal.hpp"

namespace shoal::mesh {
struct DataPlaneOptions;
}

namespace shoal::mesh::exchange::zmtp {

/// Owned by one thread.
class ZmtpPort final : public WaitingPort {
  public:
    /// Frames are sealed, for devices whose keys the plan names, or, without `sealed`, in clear,
    /// for everybody who subscribes. `connector` and `stats` outlive it.
    /// Throws BadEndpoint.
    ZmtpPort(Connector& connector, const Place& place, bool sealed, DataPlaneStats& stats,
             std::stop_token stop);
    ~ZmtpPort() override;

    Frame make(std::size_t size) override;
    bool send(std::uint32_t to, const Frame& frame) override;
    bool settled() const override;
    Frame receive(std::uint32_t from) override;
    std::uint64_t connection(std::uint32_t from) override { return ranks_[from].connection; }
    std::string trouble(std::uint32_t from) override { return connector_.trouble(from); }
    std::string cipher() const override;
    void look() override;
    void wait(Clock::duration at_most) override;

  private:
    /// A device of the plan; our own one stays empty.
    struct Rank {
        Peer peer;
        std::unique_ptr<Connection> source;  ///< what it publishes comes here
        bool quiet = true;                   ///< read until nothing was left
        Connection* subscriber = nullptr;    ///< of subscribers_; it gets its frames here
        std::uint64_t connection = 0;        ///< how often it subscribed; 0: it does not
        Ciphers quick = 0;                   ///< ciphers, those that are quick there
    };

    void take_connections();
    void on_command(std::uint32_t from, const Command& command);
    void lose_source(std::uint32_t from);

    void read_subscriber(Connection& connection);
    bool on_subscriber(Connection& connection, Reader::Result what);
    bool subscribe(Connection& connection, std::string topic);
    void cancel(Connection& connection, const std::string& topic);
    void admit(Connection& connection, const std::string& topic);
    void send_key(Connection& connection);
    void drop(Connection& connection);

    void choose_cipher();
    bool choose_receivers(std::uint32_t to, std::span<const std::byte> frame);
    bool is_rank(const Connection& connection) const noexcept;
    void flush(Connection& connection);

    Connector& connector_;
    const PlanId plan_;
    const std::uint32_t rank_;
    const bool sealed_;
    DataPlaneStats& stats_;
    StopEvent stop_;

    FramePool pool_;
    std::vector<Rank> ranks_;
    std::vector<std::unique_ptr<Connection>> subscribers_;
    std::uint64_t connections_ = 0;
    SealKey key_;
    std::optional<Sealer> sealer_;
    std::vector<Connection*> receivers_;  // of the frame that is being sent
    std::vector<pollfd> descriptors_;
};

/// Longer than a step's computation differs between devices, and than a switch takes.
inline constexpr std::chrono::microseconds kSpin{1000};

class ZmtpPortMaker final : public PortMaker {
  public:
    /// `security` outlives it; nullptr: frames in clear.
    /// Throws std::runtime_error with the address when nobody can listen there, and when frames are
    /// to be sealed and libcrypto refuses all ciphers for that.
    ZmtpPortMaker(const ZmqContext* security, const DataPlaneOptions& options);

    std::uint16_t port() const noexcept override { return connector_.port(); }
    std::string name() const override { return "zmtp"; }
    std::chrono::microseconds spin() const noexcept override { return kSpin; }
    std::unique_ptr<WaitingPort> open(const Place& place, DataPlaneStats& stats,
                                      std::stop_token stop) override;

  private:
    const bool sealed_;
    Connector connector_;
};

}  // namespace shoal::mesh::exchange::zmtp
