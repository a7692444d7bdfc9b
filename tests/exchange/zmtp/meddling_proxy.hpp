// A man in the middle: between a publisher and those who call it, he takes what is said apart into
// frames of ZMTP and passes on what he likes.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <thread>

#include "mesh/exchange/zmtp/noise.hpp"
#include "mesh/exchange/zmtp/socket.hpp"

namespace shoal::mesh::testing {

class MeddlingProxy {
  public:
    /// A frame that is under way, or, as number 0 of its direction, the greeting.
    struct Passing {
        int connection = 0;  ///< the how-many-eth, from 0
        int number = 0;      ///< of its connection and direction
        bool from_publisher = false;
        bool command = false;
        exchange::zmtp::Bytes bytes;  ///< with its head
        std::size_t head = 0;         ///< how long that is
    };
    struct Verdict {
        exchange::zmtp::Bytes bytes;  ///< what is passed on
        bool cut = false;             ///< and then the connection ends
    };
    /// Called by the proxy's thread.
    using Meddle = std::function<Verdict(const Passing&)>;

    /// Listens on a free port of 127.0.0.1 and forwards to 127.0.0.1:`target`.
    MeddlingProxy(std::uint16_t target, Meddle meddle);
    ~MeddlingProxy();
    MeddlingProxy(const MeddlingProxy&) = delete;
    MeddlingProxy& operator=(const MeddlingProxy&) = delete;

    std::uint16_t port() const { return port_of(listener_); }
    std::string endpoint() const { return "tcp://127.0.0.1:" + std::to_string(port()); }
    int connections() const noexcept { return connections_; }

  private:
    struct Direction {
        exchange::zmtp::Bytes came;
        int frames = 0;
    };
    struct Pair {
        exchange::zmtp::Socket near, far;
        int number = 0;
        Direction forth, back;
    };

    void run(const std::stop_token& stop);
    void accept();
    bool pass(Pair& pair, bool from_publisher);

    std::uint16_t target_;
    Meddle meddle_;
    exchange::zmtp::Socket listener_;
    std::atomic<int> connections_{0};
    std::list<Pair> pairs_;
    std::jthread thread_;
};

}  // namespace shoal::mesh::testing
