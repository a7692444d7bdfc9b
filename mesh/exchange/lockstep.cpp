// The collectives: what is sent to whom, and which frames each needs. lockstep_recovery.cpp brings
// the frames.
#include "mesh/exchange/lockstep.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "mesh/exchange/little_endian.hpp"

namespace shoal::mesh::exchange {

namespace {

using std::chrono::milliseconds;

/// Frames taken from one peer before the others have their turn.
constexpr int kFramesInTurn = 256;

/// What devices tell each other in the first collective of a plan: the number of devices, and
/// who the sender is. A device that was told another plan under the same name is found out here.
constexpr std::size_t kHelloBytes = 4 + sizeof(DeviceId::bytes);

std::array<std::byte, kHelloBytes> hello_of(std::uint32_t size, const DeviceId& id) noexcept {
    std::array<std::byte, kHelloBytes> bytes{};
    put(bytes.data(), size);
    std::memcpy(bytes.data() + 4, id.bytes.data(), id.bytes.size());
    return bytes;
}

void check_length(std::span<const std::byte> payload) {
    if (payload.size() <= kMaxPayloadBytes) return;
    throw std::length_error("a payload of " + std::to_string(payload.size()) +
                            " bytes exceeds the data plane's limit of " +
                            std::to_string(kMaxPayloadBytes));
}

}  // namespace

Lockstep::Lockstep(Port& port, Place place, milliseconds silence_limit, DataPlaneStats& stats)
    : port_(port),
      plan_(place.plan),
      rank_(place.rank),
      self_(place.devices.at(place.rank).id),
      meters_(std::make_shared<std::vector<LinkMeter>>(place.devices.size())),
      silence_limit_(silence_limit),
      stats_(stats),
      limit_(silence_limit) {
    links_.reserve(place.devices.size() - 1);
    for (std::uint32_t r = 0; r < place.devices.size(); ++r) {
        if (r == rank_) continue;
        Link& link = links_.emplace_back();
        link.rank = r;
        link.meter = &(*meters_)[r];
        link.peer = std::move(place.devices[r]);
    }
}

void Lockstep::join(Time now, milliseconds timeout) {
    assert(op_ == 0 && goal_ == Goal::none);
    now_ = now;
    join_by_ = now + timeout;
    aim(Goal::connections);
}

void Lockstep::begin(Time now, const Collective& what) {
    assert(goal_ == Goal::none);
    check_length(what.payload);
    for (const auto part : what.parts) check_length(part);
    if (status_ != ExchangeStatus::ok) return;
    now_ = now;
    limit_ = silence_limit_;
    enter(what);
}

void Lockstep::enter(const Collective& what) {
    using Kind = Collective::Kind;
    assert(what.root < size());
    const bool root = what.root == rank_;
    const bool apart = what.kind == Kind::all_to_all;
    const bool everyone = apart || what.kind == Kind::all_gather;
    const bool sends = everyone || root == (what.kind == Kind::broadcast);
    const bool needs = everyone || !sends;
    const bool listens = what.kind == Kind::broadcast && !root;
    ++op_;
    begun_ = now_;
    to_ = what.kind == Kind::gather ? what.root : kEveryone;
    for (Link& link : links_) {
        link.arrived.release(op_);
        link.receives = sends && (to_ == kEveryone || to_ == link.rank);
        link.awaited = needs && (!listens || link.rank == what.root);
    }
    limited_ = !listens;  // An idle root is silent.
    compose_ours(what, listens);
    aim(sends ? Goal::room : Goal::frames);
    for (const Link& link : links_) {
        if (link.abandoned_at && *link.abandoned_at <= op_) {
            return fail(ExchangeStatus::aborted, name(link) + " left the plan");
        }
    }
}

/// What we send in this collective.
void Lockstep::compose_ours(const Collective& what, bool listens) {
    mine_.reset();
    own_ = {};
    if (what.kind == Collective::Kind::all_to_all) {
        assert(what.parts.size() == size());
        for (Link& link : links_) {
            link.part = compose({.to = link.rank, .kind = FrameKind::data, .op = op_},
                                what.parts[link.rank]);
        }
        own_ = what.parts[rank_];
    } else if (!listens) {
        // Nobody asks for a gather's root's own part, but it lives as long as the others'.
        mine_ = compose({.to = to_, .kind = FrameKind::data, .op = op_}, what.payload);
        own_ = mine_->bytes.subspan(kHeaderBytes);
    }
}

/// A frame of ours; fills in what is the same in all of them.
Frame Lockstep::compose(FrameHeader header, std::span<const std::byte> payload) {
    header.plan = plan_;
    header.from = rank_;
    header.length = static_cast<std::uint32_t>(payload.size());
    Frame frame = port_.make(kHeaderBytes + payload.size());
    encode(header, frame->bytes.first<kHeaderBytes>());
    if (!payload.empty()) {
        std::memcpy(frame->bytes.data() + kHeaderBytes, payload.data(), payload.size());
    }
    return frame;
}

std::optional<ExchangeStatus> Lockstep::step(Time now) {
    if (goal_ == Goal::none) return status_;
    now_ = now;
    notice_connections();
    if (!advance()) check();
    return goal_ == Goal::none ? std::optional(status_) : std::nullopt;
}

void Lockstep::aim(Goal goal) noexcept {
    goal_ = goal;
    since_.reset();
}

/// True when `link` is one that the goal is not reached for.
bool Lockstep::blocks(const Link& link) const noexcept {
    switch (goal_) {
        case Goal::connections:
            return link.connection == 0;
        case Goal::room:
            return link.receives && link.sent.full();
        case Goal::frames:
            return link.awaited && link.arrived.find(op_) == nullptr;
        case Goal::queue:
        case Goal::settled:
        case Goal::none:
            return false;
    }
    return false;
}

bool Lockstep::blocked() const noexcept {
    return std::any_of(links_.begin(), links_.end(), [&](const Link& l) { return blocks(l); });
}

/// Takes in what has come; true when the collective has ended. First only what is waited for: the
/// rest can wait until we must sleep.
bool Lockstep::advance() {
    if (reach()) return true;
    for (const bool all : {false, true}) {
        for (Link& link : links_) {
            for (int i = 0; i < kFramesInTurn && (all || blocks(link)); ++i) {
                const Frame frame = port_.receive(link.rank);
                if (!frame) break;
                take(link, frame);
            }
        }
        if (reach()) return true;
    }
    return false;
}

/// Gives the port what we send, to every receiver before anything is waited for; false when a
/// queue is full.
bool Lockstep::hand_over() {
    if (mine_) return port_.send(to_, mine_);
    bool all = true;
    for (Link& link : links_) {
        if (!link.part) continue;
        if (port_.send(link.rank, link.part)) {
            link.part.reset();
        } else {
            all = false;
        }
    }
    return all;
}

/// Goes from goal to goal as long as they are reached; true when the collective has ended.
bool Lockstep::reach() {
    if (goal_ == Goal::connections && !blocked()) {
        // What is left of the time is for the hellos.
        limit_ = std::chrono::ceil<milliseconds>(join_by_ - now_);
        enter({.payload = hello_of(size(), self_)});
    }
    if (goal_ == Goal::room && !blocked()) {
        for (Link& link : links_) {
            if (!link.receives) continue;
            const Frame& frame = link.part ? link.part : mine_;
            [[maybe_unused]] const bool kept = link.sent.keep(op_, frame, now_);
            assert(kept);
            link.unacknowledged = 0;
            link.meter->sent(frame->bytes.size());
        }
        aim(Goal::queue);
    }
    if (goal_ == Goal::queue && hand_over()) aim(Goal::frames);
    if (goal_ == Goal::frames && !blocked()) {
        for (Link& link : links_) {
            if (link.awaited) acknowledge(link);
        }
        aim(Goal::settled);
    }
    if (goal_ == Goal::settled && port_.settled()) {
        aim(Goal::none);
        if (op_ == 1) compare_hellos();
    }
    return goal_ == Goal::none;
}

/// Counts a frame taken from `link`, and tells it now and then when nothing else will: a sender
/// that hears nothing has to stop after kDepth frames.
void Lockstep::acknowledge(Link& link) {
    if (++link.unacknowledged < kAckEvery) return;
    link.unacknowledged = 0;
    control(FrameKind::ack, link.rank, op_ + 1);
}

void Lockstep::compare_hellos() {
    for (const Link& link : links_) {
        const auto expected = hello_of(size(), link.peer.id);
        const auto got = payload(link.rank);
        if (!std::equal(got.begin(), got.end(), expected.begin(), expected.end())) {
            return fail(ExchangeStatus::aborted,
                        name(link) + " has another idea of this plan's devices");
        }
    }
}

std::span<const std::byte> Lockstep::payload(std::uint32_t rank) const noexcept {
    if (rank == rank_) return own_;
    const Link& link = links_[rank < rank_ ? rank : rank - 1];
    return link.arrived.find(op_)->frame->bytes.subspan(kHeaderBytes);
}

void Lockstep::stop() {
    if (status_ == ExchangeStatus::ok) fail(ExchangeStatus::aborted, "stopped");
}

void Lockstep::leave() {
    if (status_ != ExchangeStatus::ok) return;
    control(FrameKind::abandon, kEveryone, goal_ == Goal::none ? op_ + 1 : op_);
}

void Lockstep::fail(ExchangeStatus status, std::string why, std::vector<DeviceId> missing) {
    aim(Goal::none);
    status_ = status;
    failure_ = {"collective " + std::to_string(op_) + ": " + std::move(why), std::move(missing)};
    // Before the hellos nobody counts on us.
    if (op_ != 0) control(FrameKind::abandon, kEveryone, op_);
}

std::string Lockstep::name(const Link& link) {
    return "rank " + std::to_string(link.rank) + " (" + link.peer.id.hex().substr(0, 8) + ", " +
           link.peer.endpoint + ")";
}

}  // namespace shoal::mesh::exchange
