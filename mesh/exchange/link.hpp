// What a device knows of one peer within a plan: the subscribed connection, the frames that came
// early, how far the peer is, and when to ask it again.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <zmq.hpp>

#include "mesh/exchange/exchange.hpp"

namespace shoal::mesh::exchange {

/// Frames that a device may have sent to a peer without knowing that they arrived. All-gathers
/// acknowledge each other, so two would do for them; the rest lets a root run ahead.
inline constexpr std::size_t kDepth = 8;
/// A receiver that has nothing to send acknowledges after this many frames.
inline constexpr std::uint32_t kAckEvery = kDepth / 2;
/// A peer cannot be further ahead than this, see PROTOCOL-data.md; more is no valid frame.
inline constexpr std::uint64_t kMaxLead = 4096;

/// When a blocked device asks its peers again: first soon, then with growing intervals.
inline constexpr std::chrono::milliseconds kAskAfter{20};
inline constexpr std::chrono::milliseconds kAskAtMost{200};

/// Owned by the thread of its exchange.
struct Link {
    using Clock = std::chrono::steady_clock;

    Link(std::uint32_t peer_rank, Peer device, zmq::socket_t connected)
        : rank(peer_rank),
          peer(std::move(device)),
          socket(std::move(connected)),
          descriptor(socket.get(zmq::sockopt::fd)) {}

    /// The frame of collective `op`, if it came.
    const zmq::message_t* find(std::uint64_t op) const noexcept {
        for (const Early& slot : early) {
            if (slot.op == op) return &slot.message;
        }
        return nullptr;
    }
    /// Keeps a frame until release(); false when there are more than a peer may send.
    [[nodiscard]] bool keep(std::uint64_t op, zmq::message_t& message) {
        for (Early& slot : early) {
            if (slot.op != 0) continue;
            slot.op = op;
            slot.message.swap(message);
            return true;
        }
        return false;
    }
    /// Lets go of the frames of collectives before `op`.
    void release(std::uint64_t op) {
        for (Early& slot : early) {
            if (slot.op == 0 || slot.op >= op) continue;
            slot.op = 0;
            slot.message.rebuild();
        }
    }
    /// Starts asking anew, for a new wait.
    void arm(Clock::time_point now) noexcept {
        ask_interval = kAskAfter;
        ask_at = now + ask_interval;
    }

    std::uint32_t rank;
    Peer peer;
    zmq::socket_t socket;  ///< SUB, connected to this peer alone
    int descriptor;
    bool drained = false;  ///< read until empty, so that the descriptor tells of anything new

    std::uint64_t entered = 0;                  ///< the last collective it is known to have begun
    std::uint32_t unacknowledged = 0;           ///< its frames taken since we last sent it one
    std::optional<std::uint64_t> abandoned_at;  ///< it takes no part from this collective on
    Clock::time_point heard{};                  ///< when its last frame was read while waiting

    Clock::time_point ask_at{};
    Clock::duration ask_interval{};
    std::uint64_t asked_certain = 0;  ///< the collective of the last certain nack
    std::uint64_t resent_op = 0;      ///< what it was sent again last, and when
    Clock::time_point resent_at{};

  private:
    struct Early {
        std::uint64_t op = 0;  // Collectives count from 1, so 0 is "free".
        zmq::message_t message;
    };
    std::array<Early, kDepth> early;
};

}  // namespace shoal::mesh::exchange
