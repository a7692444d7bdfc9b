#include "tests/daemon/simulation/plane.hpp"

#include <algorithm>

namespace shoal::tests::simulation {
namespace {

// A cut connection is tried again this often.
constexpr auto kAgain = std::chrono::milliseconds(200);

}  // namespace

void Plane::send(std::size_t to, Packet packet) {
    const std::size_t from = packet.from;
    const auto travels = microseconds(std::uniform_int_distribution<>(100, 2000)(random_));
    Loop::Time& latest = latest_[{from, to}];
    latest = std::max(latest, time_.now() + travels);
    const std::uint64_t number = next_++;
    auto& [flight, timer] = in_flight_[number];
    flight = {to, listeners_[from].life, listeners_[to].life, std::move(packet)};
    timer = time_.at(latest, [this, number] { arrive(number); });
}

void Plane::arrive(std::uint64_t number) {
    auto& [flight, timer] = in_flight_.at(number);
    const std::size_t from = flight.packet.from;
    const bool sender_lives = listeners_[from].life == flight.sender;
    const bool reached = network_.reaches(from, flight.to);
    if (!reached && sender_lives && listeners_[flight.to].life == flight.receiver) {
        // What follows must not overtake it.
        Loop::Time& latest = latest_[{from, flight.to}];
        const Loop::Time again = time_.now() + kAgain;
        latest = std::max(latest, again);
        timer = time_.at(again, [this, number] { arrive(number); });
        return;
    }
    const InFlight arrived = std::move(flight);
    in_flight_.erase(number);
    const Listener& listener = listeners_[arrived.to];
    if (reached && listener.life == arrived.receiver && listener.receive) {
        // It may be gone before this returns.
        const Receive receive = listener.receive;
        receive(arrived.packet);
    }
}

}  // namespace shoal::tests::simulation
