// The data plane of simulated devices: packets between their engines, which nothing loses while
// both live, and which wait while the two cannot reach each other.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "mesh/wire/identity.hpp"
#include "tests/daemon/virtual_loop.hpp"
#include "tests/mesh/memory_network.hpp"

namespace shoal::tests::simulation {

struct Packet {
    enum class Kind : std::uint8_t { hello, answer, order, partial, stop, stopped, abandon };
    mesh::PlanId plan;  ///< with the number of its run
    std::size_t from = 0;
    Kind kind = Kind::hello;
    std::uint64_t step = 0;
    std::uint32_t collective = 0;
    std::vector<std::uint64_t> payload{};  ///< one number for each job of the step
};

class Plane {
  public:
    using Receive = std::function<void(const Packet&)>;

    Plane(MemoryNetwork& network, VirtualTime& time, std::mt19937_64& random)
        : network_(network), time_(time), random_(random) {}

    /// A device's engine listens, or with nothing is gone; what is on its way to it then is lost.
    void listen(std::size_t device, Receive receive) {
        ++listeners_[device].life;
        listeners_[device].receive = std::move(receive);
    }
    /// Packets from one device to another keep their order.
    void send(std::size_t to, Packet packet);

  private:
    struct Listener {
        std::uint64_t life = 0;
        Receive receive;
    };
    struct InFlight {
        std::size_t to = 0;
        std::uint64_t sender = 0, receiver = 0;  // lives
        Packet packet;
    };
    void arrive(std::uint64_t number);

    MemoryNetwork& network_;
    VirtualTime& time_;
    std::mt19937_64& random_;
    std::map<std::size_t, Listener> listeners_;
    std::map<std::pair<std::size_t, std::size_t>, Loop::Time> latest_;
    std::map<std::uint64_t, std::pair<InFlight, Timer>> in_flight_;
    std::uint64_t next_ = 0;
};

}  // namespace shoal::tests::simulation
