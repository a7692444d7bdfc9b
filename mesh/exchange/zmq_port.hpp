// ZeroMQ publish/subscribe as a port: one XPUB for all receivers, and a SUB for each sender.
#pragma once

#include <poll.h>

#include <stop_token>
#include <vector>
#include <zmq.hpp>

#include "mesh/exchange/lockstep.hpp"
#include "mesh/exchange/port.hpp"
#include "mesh/exchange/port_maker.hpp"
#include "mesh/exchange/publisher.hpp"
#include "mesh/exchange/stop_event.hpp"

namespace shoal::mesh {
struct DataPlaneOptions;
class ZmqContext;
}  // namespace shoal::mesh

namespace shoal::mesh::exchange {

/// Owned by one thread.
class ZmqPort final : public WaitingPort {
  public:
    /// `subscribers[r]`: the SUB socket that is connected to rank r's XPUB and subscribed to what
    /// is for everyone and for us; none for our own rank. `publisher` outlives the port.
    ZmqPort(Publisher& publisher, const Place& place, std::vector<zmq::socket_t> subscribers,
            std::stop_token stop);

    Frame make(std::size_t size) override;
    bool send(std::uint32_t to, const Frame& frame) override;
    Frame receive(std::uint32_t from) override;
    std::uint64_t connection(std::uint32_t from) override { return sources_[from].connection; }
    std::string cipher() const override { return publisher_.authenticated() ? "CURVE" : "none"; }
    void wait(Clock::duration at_most) override;

  private:
    /// A rank of the plan; our own one stays empty.
    struct Source {
        DeviceId id;
        zmq::socket_t socket;
        bool drained = false;  ///< read until empty, so that its descriptor tells of anything new
        std::uint64_t connection = 0;  ///< how often it subscribed; 0 when it is not subscribed
    };

    void notice_subscriptions();

    Publisher& publisher_;
    const PlanId plan_;
    std::vector<Source> sources_;  ///< by rank
    StopEvent stop_;
    std::vector<pollfd> descriptors_;  ///< stop, publisher, then sources_
    bool publisher_dirty_ = true;      ///< the publisher's descriptor may have missed something
    std::uint64_t connections_ = 0;
    std::vector<Publisher::Change> changes_;
    zmq::message_t incoming_;
};

class ZmqPortMaker final : public PortMaker {
  public:
    /// CURVE with `security`, in clear with nullptr; context and security outlive it.
    /// Throws std::runtime_error with the address when it cannot be bound.
    ZmqPortMaker(zmq::context_t& context, const ZmqContext* security,
                 const DataPlaneOptions& options);

    std::uint16_t port() const noexcept override { return port_; }
    std::string name() const override { return "libzmq"; }
    std::unique_ptr<WaitingPort> open(const Place& place, DataPlaneStats& stats,
                                      std::stop_token stop) override;

  private:
    zmq::socket_t bind(const DataPlaneOptions& options);
    zmq::socket_t connect(const Place& place, std::uint32_t rank);

    zmq::context_t& zmq_;
    const ZmqContext* const security_;
    std::uint16_t port_ = 0;
    Publisher publisher_;
};

}  // namespace shoal::mesh::exchange
