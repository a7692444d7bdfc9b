// The way back: events to the devices that asked.
#pragma once

#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

#include "daemon/loop/loop.hpp"
#include "daemon/requests/request_ports.hpp"

namespace shoal {

/// Owned by the control thread. An answer with a hole is none: an event that finds no room on the
/// way to its device ends the request, and the device hears of that as soon as there is room again.
class Replies {
  public:
    /// Last events that may wait for room.
    static constexpr std::size_t kMaxOwed = 256;

    struct Ends {
        /// Takes what this device's own requests are told.
        std::function<void(std::uint64_t id, const mesh::messages::Event&)> own;
        /// Called later: nobody waits for the rest of an answer any more.
        std::function<void(const Origin&)> lost;
    };
    /// A device that cannot be reached for longer than `patience` is no member any more.
    Replies(Loop& loop, RequestPorts& ports, Loop::Clock::duration patience, Ends ends)
        : loop_(loop), ports_(ports), patience_(patience), ends_(std::move(ends)) {}

    void send(const Origin& origin, const mesh::messages::Event& event);
    /// Nothing is owed to those any more.
    template <typename Predicate>
    void forget_if(const Predicate& of) {
        std::erase_if(owed_, [&](const Owed& owed) { return of(owed.origin); });
    }

    std::size_t owed() const noexcept { return owed_.size(); }

  private:
    struct Owed {
        Origin origin;
        mesh::messages::Event last;
        Loop::Time since;
    };

    bool owes(const Origin& origin) const;
    void owe(const Origin& origin, const mesh::messages::Event& refused);
    void settle_later();

    Loop& loop_;
    RequestPorts& ports_;
    const Loop::Clock::duration patience_;
    const Ends ends_;
    std::vector<Owed> owed_;
    Timer settling_;  // while something is owed
};

}  // namespace shoal
