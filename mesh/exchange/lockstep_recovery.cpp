// What lock-step does when a collective cannot go on at once: it takes in frames, answers peers
// that lack one, asks for what is missing here, and notices who is silent or gone.
#include <algorithm>
#include <cassert>
#include <utility>

#include "mesh/exchange/lockstep.hpp"

namespace shoal::mesh::exchange {

namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

/// No port tells when a full queue has room again.
constexpr milliseconds kQueueRetry{2};
/// A frame asked for again by a timer is taken for late, not lost, for this long after it was
/// sent: a base, and the time that a slow network (4 MB/s) needs for it and its siblings.
constexpr milliseconds kPatience{10};
constexpr nanoseconds kPatiencePerByte{250};

}  // namespace

/// A peer whose connection was re-made has lost what was under way to it.
void Lockstep::notice_connections() {
    for (Link& link : links_) {
        const std::uint64_t connection = port_.connection(link.rank);
        if (connection == link.connection) continue;
        link.connection = connection;
        if (connection == 0 || goal_ == Goal::connections) continue;
        ++stats_.resubscribed;
        for (const auto* sent = link.sent.after(0); sent != nullptr;
             sent = link.sent.after(sent->op)) {
            resend(link, *sent);
        }
    }
}

void Lockstep::take(Link& link, const Frame& frame) {
    FrameHeader header;
    if (decode(frame->bytes, header) != FrameError::none) {
        ++stats_.malformed;
        return;
    }
    if (header.plan != plan_) {
        ++stats_.foreign;
        return;
    }
    // The connection is the peer's alone, so a frame in another's name is a forgery.
    if (header.from != link.rank || (header.to != kEveryone && header.to != rank_) ||
        header.op == 0 || header.op > op_ + kMaxLead) {
        ++stats_.malformed;
        return;
    }
    link.heard = now_;
    if (header.kind != FrameKind::abandon && header.op > link.entered) {
        link.entered = header.op;
        link.sent.release(header.op);
    }
    link.meter->received(frame->bytes.size());
    switch (header.kind) {
        case FrameKind::data:
            if (header.op < op_ || link.arrived.find(header.op) != nullptr) {
                ++stats_.duplicates;
            } else if (!link.arrived.keep(header.op, frame, now_)) {
                ++stats_.malformed;
            } else if (header.op > op_) {
                link.meter->waited({});
            } else if (limited_) {
                link.meter->waited(now_ - begun_);
            }
            break;
        case FrameKind::nack:
            on_nack(link, header);
            break;
        case FrameKind::ack:
            break;
        case FrameKind::probe:
            control(FrameKind::ack, link.rank, op_);
            break;
        case FrameKind::abandon:
            link.abandoned_at = header.op;
            break;
    }
}

/// Failures, and questions that are due.
void Lockstep::check() {
    if (!since_) {
        since_ = now_;
        for (Link& link : links_) link.arm(now_);
    }
    if (goal_ == Goal::connections) return check_connections();
    for (Link& link : links_) {
        check(link);
        if (goal_ == Goal::none) return;
    }
    if ((goal_ == Goal::queue || goal_ == Goal::settled) && now_ - *since_ >= limit_) {
        fail(ExchangeStatus::timed_out, "a connection takes no frames any more");
    }
}

void Lockstep::check(Link& link) {
    const bool blocking = blocks(link);
    if (link.abandoned_at && (blocking || *link.abandoned_at <= op_)) {
        return fail(ExchangeStatus::aborted, name(link) + " left the plan");
    }
    if (!blocking) return;
    if (limited_ && now_ - std::max(*since_, link.heard) >= limit_) {
        return fail(ExchangeStatus::timed_out,
                    name(link) + " was silent for " + std::to_string(limit_.count()) + " ms",
                    {link.peer.id});
    }
    // A peer that is in a later collective has sent its frame of this one, so it is lost.
    const bool certain = goal_ == Goal::frames && link.entered > op_ && link.asked_certain != op_;
    if (certain || now_ >= link.ask_at) ask(link);
}

void Lockstep::check_connections() {
    if (now_ < join_by_) return;
    std::string names;
    std::vector<DeviceId> ids;
    for (const Link& link : links_) {
        if (!blocks(link)) continue;
        names += (names.empty() ? "" : ", ") + name(link);
        if (const auto why = port_.trouble(link.rank); !why.empty()) names += ": " + why;
        ids.push_back(link.peer.id);
    }
    fail(ExchangeStatus::timed_out, "no subscription came from " + names, std::move(ids));
}

Time Lockstep::deadline() const noexcept {
    if (goal_ == Goal::connections) return join_by_;
    if (goal_ == Goal::queue || goal_ == Goal::settled) return now_ + kQueueRetry;
    auto next = Time::max();
    for (const Link& link : links_) {
        if (!blocks(link)) continue;
        next = std::min(next, link.ask_at);
        if (limited_) next = std::min(next, std::max(*since_, link.heard) + limit_);
    }
    return next;
}

void Lockstep::ask(Link& link) {
    if (goal_ == Goal::frames) {
        const bool certain = link.entered > op_;
        if (certain) link.asked_certain = op_;
        ++stats_.asked;
        link.meter->asked();
        control(FrameKind::nack, link.rank, op_, certain ? kFlagCertain : 0);
    } else {
        control(FrameKind::probe, link.rank, op_);
    }
    link.ask_at = now_ + link.ask_interval;
    // A root may idle for hours and reads nothing meanwhile, so questions to it double their
    // distance without end; otherwise they would fill its queue.
    link.ask_interval *= 2;
    if (limited_) link.ask_interval = std::min<Clock::duration>(link.ask_interval, kAskAtMost);
}

void Lockstep::on_nack(Link& link, const FrameHeader& header) {
    const Window::Entry* sent = link.sent.find(header.op);
    if (sent == nullptr) return;  // We are not there yet; it will come by itself.
    const bool again = link.resent_op == header.op;
    const bool certain = (header.flags & kFlagCertain) != 0 && !again;
    const auto patience =
        kPatience +
        kPatiencePerByte * static_cast<std::int64_t>(sent->frame->bytes.size() * links_.size());
    if (certain || now_ - (again ? link.resent_at : sent->at) >= patience) resend(link, *sent);
}

/// Sends a frame again, to the one peer that lacks it.
void Lockstep::resend(Link& link, const Window::Entry& sent) {
    FrameHeader header;
    const bool valid = decode(sent.frame->bytes, header) == FrameError::none;
    assert(valid);
    if (valid && header.to == kEveryone) {
        header.to = link.rank;
        link.sent.replace(sent.op, compose(header, sent.frame->bytes.subspan(kHeaderBytes)));
    }
    if (!port_.send(link.rank, sent.frame)) return;  // A full queue: the peer will ask once more.
    link.resent_op = sent.op;
    link.resent_at = now_;
    ++stats_.resent;
    link.meter->resent();
    link.meter->sent(sent.frame->bytes.size());
}

/// Best effort: whoever needs the answer asks again.
void Lockstep::control(FrameKind kind, std::uint32_t to, std::uint64_t op, std::uint8_t flags) {
    (void)port_.send(to, compose({.to = to, .kind = kind, .flags = flags, .op = op}, {}));
}

}  // namespace shoal::mesh::exchange
