// Lock-step: what a device sends, keeps, asks for and waits for in the collectives of a plan, by
// the rules of PROTOCOL-data.md.
//
// A frame is named by its sender and the number of the collective it belongs to, and every device
// counts collectives alike, so a receiver always knows which frames it lacks: no stream numbers,
// and nothing to be agreed on after a connection was cut.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mesh/exchange/exchange.hpp"
#include "mesh/exchange/frame.hpp"
#include "mesh/exchange/link.hpp"
#include "mesh/exchange/port.hpp"
#include "mesh/exchange/stats.hpp"

namespace shoal::mesh::exchange {

/// A receiver that has nothing to send acknowledges after this many frames.
inline constexpr std::uint32_t kAckEvery = kDepth / 2;
/// A peer cannot be further ahead than this, see PROTOCOL-data.md; more is no valid frame.
inline constexpr std::uint64_t kMaxLead = 4096;

/// What the devices of a plan do together; the same on each but for the payload.
struct Collective {
    enum class Kind : std::uint8_t {
        all_gather,  ///< everyone sends to everyone
        broadcast,   ///< the root sends to everyone
        gather,      ///< everyone sends to the root
        all_to_all,  ///< everyone sends to everyone, to each another payload
    } kind = Kind::all_gather;
    std::uint32_t root = 0;
    std::span<const std::byte> payload{};                 ///< what this device sends
    std::span<const std::span<const std::byte>> parts{};  ///< instead in all_to_all: to each rank
};

/// A plan and this device's place in it.
struct Place {
    PlanId plan;
    std::uint32_t rank = 0;
    std::vector<Peer> devices;  ///< of every rank, this one's, too
};

/// A state machine: time comes in as `now`, frames go through the port, nothing waits. After
/// join() or begin(), step() is called whenever the port may have something and at deadline() at
/// the latest, until it says how the collective ended. Externally synchronised.
class Lockstep {
  public:
    /// What the current collective waits for.
    enum class Goal : std::uint8_t {
        none,         ///< it has ended, or none has begun
        connections,  ///< every peer hears us
        room,         ///< acknowledgements, so that a frame may be forgotten
        queue,        ///< room in the port's queue
        frames,       ///< what the others send
        settled,      ///< that our own frame is on its way, whole
    };

    /// `port` and `stats` outlive it. Requires: place.rank < place.devices.size() <= kMaxRanks.
    Lockstep(Port& port, Place place, std::chrono::milliseconds silence_limit,
             DataPlaneStats& stats);
    Lockstep(const Lockstep&) = delete;
    Lockstep& operator=(const Lockstep&) = delete;

    /// Begins to wait until every peer has a connection to us and said hello: collective 1, before
    /// all others.
    void join(Time now, std::chrono::milliseconds timeout);
    /// Begins the next collective; payload() of the last one ends here. Copies what is sent, but
    /// this device's own part of an all_to_all: that is to stay as long as payload().
    /// Requires: the one before has ended, and an all_to_all has a part for every rank. Throws
    /// std::length_error when the payload or a part is longer than kMaxPayloadBytes.
    void begin(Time now, const Collective& what);
    /// Goes on as far as it can. How the collective ended, or nothing as long as it has not. After
    /// the first status other than ok each one ends with that status.
    std::optional<ExchangeStatus> step(Time now);
    /// When to call step() at the latest. Requires: step() said nothing.
    Time deadline() const noexcept;

    /// Ends the current collective and all later ones with `aborted`.
    void stop();
    /// Tells the others that this device takes part in nothing from here on.
    void leave();

    /// What `rank` sent in the collective that ended, which needed it; or our own part.
    std::span<const std::byte> payload(std::uint32_t rank) const noexcept;

    std::uint32_t rank() const noexcept { return rank_; }
    std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(links_.size() + 1); }
    /// The current or last collective; 0 before the first.
    std::uint64_t op() const noexcept { return op_; }
    Goal goal() const noexcept { return goal_; }
    const ExchangeFailure& failure() const noexcept { return failure_; }
    /// Of every rank; our own one stays empty. Lives as long as anybody reads it.
    std::shared_ptr<const std::vector<LinkMeter>> meters() const noexcept { return meters_; }

  private:
    // lockstep.cpp: what is sent to whom, and which frames a collective needs.
    void enter(const Collective& what);
    void compose_ours(const Collective& what, bool listens);
    Frame compose(FrameHeader header, std::span<const std::byte> payload);
    bool blocks(const Link& link) const noexcept;
    bool blocked() const noexcept;
    bool hand_over();
    bool advance();
    bool reach();
    void aim(Goal goal) noexcept;
    void acknowledge(Link& link);
    void compare_hellos();
    void fail(ExchangeStatus status, std::string why, std::vector<DeviceId> missing = {});
    static std::string name(const Link& link);

    // lockstep_recovery.cpp: what has come, what is missing, who is silent or gone.
    void notice_connections();
    void take(Link& link, const Frame& frame);
    void check();
    void check(Link& link);
    void check_connections();
    void ask(Link& link);
    void on_nack(Link& link, const FrameHeader& header);
    void resend(Link& link, const Window::Entry& sent);
    void control(FrameKind kind, std::uint32_t to, std::uint64_t op, std::uint8_t flags = 0);

    Port& port_;
    const PlanId plan_;
    const std::uint32_t rank_;
    const DeviceId self_;
    const std::shared_ptr<std::vector<LinkMeter>> meters_;
    std::vector<Link> links_;  ///< to every other rank, in their order
    const std::chrono::milliseconds silence_limit_;
    DataPlaneStats& stats_;

    std::uint64_t op_ = 0;
    Goal goal_ = Goal::none;
    std::optional<Time> since_;  ///< when it began to wait for the goal
    std::uint32_t to_ = kEveryone;
    Frame mine_;                       ///< what we send, if that is the same to all
    std::span<const std::byte> own_;   ///< our own part, where we have one
    bool limited_ = true;              ///< silence is a failure
    std::chrono::milliseconds limit_;  ///< of silence, in the current collective
    Time begun_{};                     ///< the current collective
    Time join_by_{};
    ExchangeStatus status_ = ExchangeStatus::ok;
    ExchangeFailure failure_;
    Time now_{};
};

}  // namespace shoal::mesh::exchange
