// What a device knows of one peer within a plan: the frames on their way in both directions, how
// far the peer is, and when to ask it again.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "mesh/exchange/exchange.hpp"
#include "mesh/exchange/link_meter.hpp"
#include "mesh/exchange/window.hpp"

namespace shoal::mesh::exchange {

/// When a blocked device asks its peers again: first soon, then with growing intervals.
inline constexpr std::chrono::milliseconds kAskAfter{20};
inline constexpr std::chrono::milliseconds kAskAtMost{200};

struct Link {
    std::uint32_t rank = 0;
    Peer peer;
    LinkMeter* meter = nullptr;

    Window sent;            ///< what it was sent and has not acknowledged
    Window arrived;         ///< its frames of the current collective and of later ones
    bool awaited = false;   ///< its frame is needed for the current collective
    bool receives = false;  ///< it is sent a frame in the current collective
    Frame part;             ///< that frame, if it is for it alone, until the port has it

    std::uint64_t connection = 0;               ///< see Port; 0: it does not hear us yet
    std::uint64_t entered = 0;                  ///< the last collective it is known to have begun
    std::uint32_t unacknowledged = 0;           ///< its frames taken since it was last sent one
    std::optional<std::uint64_t> abandoned_at;  ///< it takes no part from this collective on
    Time heard{};                               ///< when its last frame was read

    Time ask_at{};
    Clock::duration ask_interval{};
    std::uint64_t asked_certain = 0;  ///< the collective of the last certain nack
    std::uint64_t resent_op = 0;      ///< what it was sent again last, and when
    Time resent_at{};

    /// Starts asking anew, for a new wait.
    void arm(Time now) noexcept {
        ask_interval = kAskAfter;
        ask_at = now + ask_interval;
    }
};

}  // namespace shoal::mesh::exchange
