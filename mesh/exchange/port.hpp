// What lock-step needs of a transport: frames to a device of the plan or to all, and frames of
// each.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace shoal::mesh::exchange {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;

/// Memory that holds one frame, of a kind that the port chooses (a message of ZeroMQ, say).
struct Buffer {
    std::span<std::byte> bytes;
};
/// Shared: to keep a frame and to send it again copies nothing.
using Frame = std::shared_ptr<Buffer>;

/// A device's end of a plan's connections. May lose, delay, repeat and reorder frames, but what it
/// delivers as a peer's frame is that peer's. Owned by the thread of its lock-step.
class Port {
  public:
    virtual ~Port() = default;

    /// A new frame of `size` bytes, not set yet.
    virtual Frame make(std::size_t size) = 0;
    /// Sends to rank `to`, or with kEveryone to all, as the frame's header says, too: at once or
    /// not at all. False when a queue is full. The bytes do not change from here on.
    [[nodiscard]] virtual bool send(std::uint32_t to, const Frame& frame) = 0;
    /// What was sent goes on by itself, although nobody calls the port. Until then it has to be
    /// called: a peer may wait for the rest of a long frame.
    virtual bool settled() const { return true; }
    /// The next frame that came from rank `from`, or nothing.
    virtual Frame receive(std::uint32_t from) = 0;
    /// Which of rank `from`'s connections reaches it from here: 0 while there is none, and another
    /// number for each one that it makes. What was under way on the last one is lost.
    virtual std::uint64_t connection(std::uint32_t from) = 0;
    /// Why there is none, where the port knows, in a person's words.
    virtual std::string trouble(std::uint32_t /*from*/) { return {}; }
    /// What frames are encrypted with, once the first was sent.
    virtual std::string cipher() const { return "none"; }
};

/// A port that a thread can sleep on.
class WaitingPort : public Port {
  public:
    /// Until something has come, a connection was made, a stop was requested, or for `at_most`.
    /// May end sooner.
    virtual void wait(Clock::duration at_most) = 0;
    /// Looks whether something has come, at the least cost: for a caller that does so again and
    /// again, and waits now and then.
    virtual void look() { wait(Clock::duration::zero()); }
};

}  // namespace shoal::mesh::exchange
