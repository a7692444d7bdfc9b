// Waiting: one poll loop that takes in frames, answers peers that lack one, asks for what is
// missing here, and notices who is silent or gone.
#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "mesh/exchange/zmq_exchange.hpp"

namespace shoal::mesh::exchange {

namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

/// Frames taken from one peer before the others have their turn.
constexpr int kBurst = 256;
/// The publisher's descriptor signals edges, which a send may swallow; so after a send the
/// publisher is looked at after this time at the latest.
constexpr milliseconds kPublisherCheck{5};
/// libzmq tells nobody when a full queue has room again.
constexpr milliseconds kQueueRetry{2};
/// A frame asked for again by a timer is taken for late, not lost, for this long after it was
/// sent: a base, and the time that a slow network (4 MB/s) needs for it and its siblings.
constexpr milliseconds kPatience{10};
constexpr nanoseconds kPatiencePerByte{250};

}  // namespace

ExchangeStatus ZmqExchange::wait(const Wait& what) {
    if (read(what)) return ExchangeStatus::ok;
    now_ = Clock::now();
    const auto start = now_;
    for (Link& link : links_) link.arm(start);
    for (;;) {
        if (stop_.requested()) return fail(ExchangeStatus::aborted, "stopped");
        if (auto status = check(what, start); status != ExchangeStatus::ok) return status;
        const bool spinning = now_ - start < spin_;
        poll(spinning ? Clock::duration::zero() : next_deadline(what, start) - now_);
        now_ = Clock::now();
        if (read(what)) return ExchangeStatus::ok;
    }
}

/// True when `link` is one that the call waits for.
bool ZmqExchange::blocks(const Wait& what, const Link& link) const noexcept {
    switch (what.goal) {
        case Wait::Goal::frames:
            return (what.from == kEveryone || what.from == link.rank) && link.find(op_) == nullptr;
        case Wait::Goal::room:
            return ring_.lacks_ack_of(link);
        case Wait::Goal::queue:
            return false;
    }
    return false;
}

bool ZmqExchange::reached(const Wait& what) {
    switch (what.goal) {
        case Wait::Goal::frames:
            return std::none_of(links_.begin(), links_.end(),
                                [&](const Link& link) { return blocks(what, link); });
        case Wait::Goal::room:
            ring_.release(links_);
            return ring_.room() != nullptr;
        case Wait::Goal::queue:
            return publisher_.send(*what.message);
    }
    return false;
}

/// Takes in what has come. First only what is waited for: the rest can wait until we must sleep.
/// Before that every connection is read until it is empty, or its descriptor would stay quiet.
bool ZmqExchange::read(const Wait& what) {
    for (Link& link : links_) {
        if (!link.drained && blocks(what, link)) read_link(link, &what);
    }
    if (reached(what)) return true;
    for (Link& link : links_) {
        if (!link.drained) read_link(link, nullptr);
    }
    return reached(what);
}

void ZmqExchange::read_link(Link& link, const Wait* until) {
    for (int i = 0; i < kBurst && (until == nullptr || blocks(*until, link)); ++i) {
        if (zmq_msg_recv(incoming_.handle(), link.socket.handle(), ZMQ_DONTWAIT) >= 0) {
            take(link, incoming_);
        } else if (zmq_errno() != EINTR) {
            link.drained = true;
            return;
        }
    }
}

void ZmqExchange::take(Link& link, zmq::message_t& message) {
    FrameHeader header;
    const auto error = decode({message.data<std::byte>(), message.size()}, header);
    if (error != FrameError::none) {
        ++publisher_.stats.malformed;
        return;
    }
    if (header.plan != plan_) {
        ++publisher_.stats.foreign;
        return;
    }
    // The connection is the peer's alone, so a frame in another's name is a forgery.
    if (header.from != link.rank || (header.to != kEveryone && header.to != rank_) ||
        header.op == 0 || header.op > op_ + kMaxLead) {
        ++publisher_.stats.malformed;
        return;
    }
    link.heard = now_;
    if (header.kind != FrameKind::abandon) link.entered = std::max(link.entered, header.op);
    switch (header.kind) {
        case FrameKind::data:
            if (header.op < op_ || link.find(header.op) != nullptr) {
                ++publisher_.stats.duplicates;
            } else if (!link.keep(header.op, message)) {
                ++publisher_.stats.malformed;
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
ExchangeStatus ZmqExchange::check(const Wait& what, Clock::time_point start) {
    for (Link& link : links_) {
        const bool blocked = blocks(what, link);
        if (link.abandoned_at && (blocked || *link.abandoned_at <= op_)) {
            return fail(ExchangeStatus::aborted, name(link) + " left the plan");
        }
        if (blocked && what.limited && now_ - std::max(start, link.heard) > silence_limit_) {
            return fail(
                ExchangeStatus::timed_out,
                name(link) + " was silent for " + std::to_string(silence_limit_.count()) + " ms");
        }
        // A peer that is in a later collective has sent its frame of this one, so it is lost.
        const bool certain =
            what.goal == Wait::Goal::frames && link.entered > op_ && link.asked_certain != op_;
        if (blocked && (certain || now_ >= link.ask_at)) ask(what, link);
    }
    if (what.goal == Wait::Goal::queue && now_ - start > silence_limit_) {
        return fail(ExchangeStatus::timed_out, "a connection takes no frames any more");
    }
    return ExchangeStatus::ok;
}

ZmqExchange::Clock::time_point ZmqExchange::next_deadline(const Wait& what,
                                                          Clock::time_point start) const {
    auto next = Clock::time_point::max();
    for (const Link& link : links_) {
        if (!link.drained) return now_;
        if (!blocks(what, link)) continue;
        next = std::min(next, link.ask_at);
        if (what.limited) next = std::min(next, std::max(start, link.heard) + silence_limit_);
    }
    if (publisher_dirty_) next = std::min(next, now_ + kPublisherCheck);
    if (what.goal == Wait::Goal::queue) next = std::min(next, now_ + kQueueRetry);
    return next;
}

void ZmqExchange::poll(Clock::duration timeout) {
    // Deadlines mean "after", so the sleep ends one microsecond past them.
    const auto ns = duration_cast<nanoseconds>(
        std::clamp<Clock::duration>(timeout, nanoseconds::zero(), std::chrono::hours(1)));
    const auto padded = ns.count() == 0 ? ns : ns + std::chrono::microseconds(1);
    const timespec limit{static_cast<time_t>(padded.count() / 1'000'000'000),
                         static_cast<long>(padded.count() % 1'000'000'000)};
    const int ready = ::ppoll(descriptors_.data(), descriptors_.size(), &limit, nullptr);
    if (ready < 0) return;  // a signal; the loop comes round again
    for (std::size_t i = 0; i < links_.size(); ++i) {
        if (descriptors_[i + 2].revents != 0) links_[i].drained = false;
    }
    if (descriptors_[1].revents != 0 || (ready == 0 && ns.count() != 0)) on_subscriptions();
}

void ZmqExchange::ask(const Wait& what, Link& link) {
    if (what.goal == Wait::Goal::frames) {
        const bool certain = link.entered > op_;
        if (certain) link.asked_certain = op_;
        ++publisher_.stats.asked;
        control(FrameKind::nack, link.rank, op_, certain ? kFlagCertain : 0);
    } else {
        control(FrameKind::probe, link.rank, op_);
    }
    link.ask_at = now_ + link.ask_interval;
    // A root may idle for hours and reads nothing meanwhile, so questions to it double their
    // distance without end; otherwise they would fill its queue.
    link.ask_interval *= 2;
    if (what.limited) link.ask_interval = std::min<Clock::duration>(link.ask_interval, kAskAtMost);
}

void ZmqExchange::on_nack(Link& link, const FrameHeader& header) {
    const SendRing::Sent* sent = ring_.find(header.op, link);
    if (sent == nullptr) return;  // We are not there yet; it will come by itself.
    const bool again = link.resent_op == header.op;
    const bool certain = (header.flags & kFlagCertain) != 0 && !again;
    const auto patience = kPatience + kPatiencePerByte * static_cast<std::int64_t>(
                                                             sent->message.size() * links_.size());
    if (certain || now_ - (again ? link.resent_at : sent->at) >= patience) resend(link, *sent);
}

/// Sends a frame again, to the one peer that lacks it.
void ZmqExchange::resend(Link& link, const SendRing::Sent& sent) {
    zmq::message_t copy(sent.message.size());
    auto* bytes = copy.data<std::byte>();
    std::memcpy(bytes, sent.message.data(), sent.message.size());
    encode({.plan = plan_,
            .to = link.rank,
            .from = rank_,
            .kind = FrameKind::data,
            .length = static_cast<std::uint32_t>(sent.message.size() - kHeaderBytes),
            .op = sent.op},
           std::span<std::byte, kHeaderBytes>(bytes, kHeaderBytes));
    publisher_dirty_ = true;
    if (!publisher_.send(copy)) return;  // A full queue: the peer will ask once more.
    link.resent_op = sent.op;
    link.resent_at = now_;
    ++publisher_.stats.resent;
}

/// Best effort: whoever needs the answer asks again.
void ZmqExchange::control(FrameKind kind, std::uint32_t to, std::uint64_t op, std::uint8_t flags) {
    zmq::message_t message(kHeaderBytes);
    encode({.plan = plan_, .to = to, .from = rank_, .kind = kind, .flags = flags, .op = op},
           std::span<std::byte, kHeaderBytes>(message.data<std::byte>(), kHeaderBytes));
    publisher_dirty_ = true;
    (void)publisher_.send(message);
}

/// A peer whose connection was re-made subscribes again: what was under way to it is lost.
void ZmqExchange::on_subscriptions() {
    changes_.clear();
    publisher_.drain(changes_);
    publisher_dirty_ = false;
    for (const Publisher::Change& change : changes_) {
        std::uint32_t rank = kEveryone;
        const auto bytes = std::as_bytes(std::span(change.topic));
        if (!change.begun || !parse_topic(bytes, plan_, rank) || rank == kEveryone) continue;
        const auto link = std::find_if(links_.begin(), links_.end(),
                                       [&](const Link& l) { return l.rank == rank; });
        if (link == links_.end() || !publisher_.is_subscribed(bytes, link->peer.id)) continue;
        ++publisher_.stats.resubscribed;
        std::uint64_t op = 0;
        while (const auto* sent = ring_.next_lacking(*link, op)) {
            resend(*link, *sent);
            op = sent->op;
        }
    }
}

std::string ZmqExchange::missing_subscribers() const {
    std::string names;
    for (const Link& link : links_) {
        if (publisher_.is_subscribed(topic(plan_, link.rank), link.peer.id)) continue;
        names += (names.empty() ? "" : ", ") + name(link);
    }
    return names;
}

ExchangeStatus ZmqExchange::await_subscribers(Clock::time_point deadline) {
    for (;;) {
        changes_.clear();
        publisher_.drain(changes_);
        const std::string missing = missing_subscribers();
        if (missing.empty()) return ExchangeStatus::ok;
        if (stop_.requested()) return fail(ExchangeStatus::aborted, "stopped");
        now_ = Clock::now();
        if (now_ >= deadline) {
            return fail(ExchangeStatus::timed_out, "no subscription came from " + missing);
        }
        // A connection that broke and was re-made is a command to the SUB socket, which repeats its
        // subscriptions when it is called and not before. Asking for events is such a call that
        // takes no frames: those of peers that are further stay where they are.
        for (Link& link : links_) (void)link.socket.get(zmq::sockopt::events);
        const auto left = duration_cast<milliseconds>(deadline - now_) + milliseconds(1);
        const auto timeout = std::min<std::int64_t>(left.count(), kPublisherCheck.count());
        ::poll(descriptors_.data(), 2, static_cast<int>(timeout));
    }
}

ExchangeStatus ZmqExchange::fail(ExchangeStatus status, std::string why) {
    failed_ = status;
    failure_ = "collective " + std::to_string(op_) + ": " + std::move(why);
    control(FrameKind::abandon, kEveryone, op_);
    return status;
}

}  // namespace shoal::mesh::exchange
