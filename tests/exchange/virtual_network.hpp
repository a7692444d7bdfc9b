// A port for each device of a plan on a network in memory, with virtual time: what it does to the
// frames is drawn from a seed, so every run with one seed is the same run.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <vector>

#include "mesh/exchange/frame.hpp"
#include "mesh/exchange/port.hpp"

namespace shoal::mesh::testing {

using exchange::Frame;
using exchange::Time;
using std::chrono::microseconds;
using std::chrono::milliseconds;

/// Draws that are the same with every standard library.
class Random {
  public:
    explicit Random(std::uint64_t seed) : engine_(seed) {}
    std::uint64_t below(std::uint64_t limit) { return engine_() % limit; }
    bool chance(std::uint64_t percent) { return below(100) < percent; }
    microseconds between(microseconds least, microseconds most) {
        return least + microseconds(below(static_cast<std::uint64_t>((most - least).count()) + 1));
    }

  private:
    std::mt19937_64 engine_;
};

/// What the network does to frames and connections.
struct Weather {
    milliseconds first_within{50};  ///< the first connections are possible
    microseconds least_delay{50}, most_delay{1000};
    bool ordered = true;  ///< frames of a connection arrive in the order they were sent
    std::uint64_t loss_percent = 0, repeat_percent = 0;
    milliseconds cut_every{0};        ///< each connection, on average; 0: never
    milliseconds heal_within{0};      ///< a connection that was cut can be made again
    std::size_t queue_frames = 1000;  ///< under way to a peer, before a send is refused
};

/// What happened on the network.
struct NetworkCounts {
    std::uint64_t sent = 0, lost = 0, repeated = 0, reordered = 0;
    std::uint64_t queue_full = 0, cuts = 0, lost_in_cuts = 0, healed = 0;
    std::array<std::uint64_t, 6> kinds{};  ///< frames sent, by FrameKind
    std::uint64_t certain_nacks = 0;
};

class VirtualNetwork {
  public:
    VirtualNetwork(std::uint32_t ranks, const Weather& weather, Random& random);
    ~VirtualNetwork();

    exchange::Port& port(std::uint32_t rank);
    Time now() const noexcept { return now_; }
    /// Rank `rank` has something to do at `at`; one alarm each.
    void set_alarm(std::uint32_t rank, Time at);
    /// Goes on to the next event and says whose it is; nothing when nothing will ever happen.
    std::optional<std::uint32_t> next();

    const NetworkCounts& counts() const noexcept { return counts_; }

  private:
    struct PortOf;
    /// From a publisher to one subscriber.
    struct Connection {
        bool up = false;        ///< the publisher knows of the subscription
        bool possible = false;  ///< the subscriber makes it when it looks for frames
        std::uint64_t number = 0;
        Time last_arrival{};
        std::uint64_t last_op = 0;  ///< of the data that arrived
        std::size_t under_way = 0;
        std::deque<Frame> arrived;
    };
    struct Event {
        enum class Kind : std::uint8_t { frame, alarm, cut, possible, up } kind;
        Time at;
        std::uint32_t from = 0, to = 0;
        std::uint64_t number = 0;  ///< of the connection
        Frame frame{};
        std::uint64_t order = 0;
        bool operator>(const Event& other) const {
            return at != other.at ? at > other.at : order > other.order;
        }
    };

    std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(ports_.size()); }
    Connection& connection(std::uint32_t from, std::uint32_t to) {
        return connections_[from * size() + to];
    }
    void schedule(Event event);
    void schedule_cut(std::uint32_t from, std::uint32_t to);
    bool send(std::uint32_t from, std::uint32_t to, const Frame& frame);
    void send_to(std::uint32_t from, std::uint32_t to, const Frame& frame);
    Frame receive(std::uint32_t from, std::uint32_t to);
    std::optional<std::uint32_t> happen(Event& event);

    const Weather weather_;
    Random& random_;
    Time now_{std::chrono::hours(1)};
    std::vector<std::unique_ptr<PortOf>> ports_;
    std::vector<Connection> connections_;  ///< by publisher, then subscriber
    std::vector<Time> alarms_;
    std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
    std::uint64_t order_ = 0;
    NetworkCounts counts_;
};

}  // namespace shoal::mesh::testing
