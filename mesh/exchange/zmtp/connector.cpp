#include "mesh/exchange/zmtp/connector.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "mesh/exchange/data_plane.hpp"
#include "mesh/exchange/frame.hpp"
#include "mesh/exchange/port_maker.hpp"

namespace shoal::mesh::exchange::zmtp {

namespace {

using std::chrono::milliseconds;

constexpr std::size_t kLongestFrame = kHeaderBytes + kMaxPayloadBytes + kSealBytes;
/// Accepted in one turn.
constexpr int kAcceptsInTurn = 64;
/// A connection that held so long is re-made at once.
constexpr milliseconds kLasted{20};
/// What waits to be used is looked at this often.
constexpr milliseconds kLookAfter{1000};
/// Without a descriptor for it, a connection waits this long to be accepted.
constexpr milliseconds kExhausted{100};

bool is_gone(const Connection& connection) noexcept {
    pollfd at{connection.socket.descriptor(), POLLRDHUP, 0};
    return ::poll(&at, 1, 0) > 0;
}

}  // namespace

Connector::Connector(const std::string& host, std::uint16_t port, const ZmqContext* security)
    : security_(security),
      listener_(listen_at(host, port)),
      port_(port_of(listener_)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

Connector::~Connector() {
    thread_.request_stop();
    wake_.signal();
}

void Connector::call(std::uint32_t rank, const std::string& endpoint, const PublicKey& key) {
    check_endpoint(endpoint);
    const std::lock_guard lock(mutex_);
    targets_.insert_or_assign(rank, Target{endpoint, key, Clock::now(), kReconnect, {}, {}});
    wake_.signal();
}

void Connector::call_again(std::uint32_t rank) {
    const std::lock_guard lock(mutex_);
    Target& target = targets_.at(rank);
    const auto now = Clock::now();
    // Who lets us in and hangs up at once is not called without a pause.
    target.call_again(now, now - target.connected >= kLasted);
    wake_.signal();
}

void Connector::stop_calling() {
    const std::lock_guard lock(mutex_);
    targets_.clear();
    stopped_ = true;
    for (auto& connection : made_) {
        if (connection->rank) closing_.push_back(std::move(connection));
    }
    std::erase(made_, nullptr);
    wake_.signal();
}

std::string Connector::trouble(std::uint32_t rank) const {
    const std::lock_guard lock(mutex_);
    const auto it = targets_.find(rank);
    return it == targets_.end() ? std::string() : it->second.trouble;
}

std::vector<std::unique_ptr<Connection>> Connector::take() {
    const std::lock_guard lock(mutex_);
    news_.clear();
    has_some_.store(false, std::memory_order_release);
    return std::exchange(made_, {});
}

void Connector::keep(std::unique_ptr<Connection> connection) {
    const std::lock_guard lock(mutex_);
    offer(std::move(connection));
}

void Connector::close(std::unique_ptr<Connection> connection) {
    const std::lock_guard lock(mutex_);
    closing_.push_back(std::move(connection));
    wake_.signal();
}

void Connector::run(const std::stop_token& stop) {
    pthread_setname_np(pthread_self(), "data-connect");
    while (!stop.stop_requested()) {
        wait();
        const auto now = Clock::now();
        std::vector<std::unique_ptr<Connection>> closing;
        {
            const std::lock_guard lock(mutex_);
            closing.swap(closing_);
            if (std::exchange(stopped_, false)) {
                std::erase_if(attempts_, [](const Attempt& a) { return a.rank.has_value(); });
            }
        }
        closing.clear();
        accept_some(now);
        call_due(now);
        look_after_waiting(now);
    }
}

/// Of the attempts, those of others to reach us.
std::size_t Connector::callers() const noexcept {
    return static_cast<std::size_t>(
        std::ranges::count_if(attempts_, [](const Attempt& a) { return !a.rank; }));
}

/// Sleeps until something happens, and goes on with the handshakes that it happened to.
void Connector::wait() {
    const bool full = callers() >= kMaxHandshakes;
    const auto deadline = [&](const Attempt& attempt) {
        const bool pressed = full && !attempt.rank;
        return pressed ? attempt.until - (kDataHandshakeTimeout - kPressed) : attempt.until;
    };
    const bool pauses = Clock::now() < accept_at_;
    std::vector<pollfd> all{{wake_.descriptor(), POLLIN, 0},
                            {full || pauses ? -1 : listener_.descriptor(), POLLIN, 0}};
    const std::size_t others = all.size();
    auto until = pauses ? accept_at_ : Clock::time_point::max();
    for (const Attempt& attempt : attempts_) {
        const bool writes = attempt.connecting || !attempt.out.empty();
        all.push_back(
            {attempt.socket.descriptor(),
             static_cast<short>(attempt.connecting ? POLLOUT : POLLIN | (writes ? POLLOUT : 0)),
             0});
        until = std::min(until, deadline(attempt));
    }
    {
        const std::lock_guard lock(mutex_);
        for (const auto& [rank, target] : targets_) until = std::min(until, target.at);
        if (!made_.empty()) until = std::min(until, look_at_);
    }
    int patience = -1;
    if (until != Clock::time_point::max()) {
        const auto rest = std::chrono::ceil<milliseconds>(until - std::min(until, Clock::now()));
        patience = static_cast<int>(std::min<std::int64_t>(rest.count(), 3'600'000));
    }
    if (::poll(all.data(), all.size(), patience) < 0) return;
    if (all[0].revents != 0) wake_.clear();
    const auto now = Clock::now();
    std::size_t i = others;
    std::erase_if(attempts_, [&](Attempt& attempt) {
        const bool ready = all[i++].revents != 0;
        if (ready && !go_on(attempt, true)) return true;
        if (now < deadline(attempt)) return false;
        failed(attempt, "it does not answer");
        return true;
    });
}

void Connector::accept_some(Clock::time_point now) {
    if (now < accept_at_) return;
    std::size_t there = callers();
    for (int i = 0; i < kAcceptsInTurn && there < kMaxHandshakes; ++i) {
        Socket socket = accept_from(listener_);
        if (!socket) {
            const bool exhausted =
                errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
            if (exhausted) accept_at_ = now + kExhausted;
            return;
        }
        Attempt attempt{std::move(socket),
                        Handshake::of_publisher(security_),
                        now + kDataHandshakeTimeout,
                        {},
                        false,
                        {},
                        {}};
        attempt.out = attempt.handshake.output();
        if (!go_on(attempt, false)) continue;
        attempts_.push_back(std::move(attempt));
        ++there;
    }
}

void Connector::call_due(Clock::time_point now) {
    std::vector<std::pair<std::uint32_t, Target>> due;
    {
        const std::lock_guard lock(mutex_);
        for (auto& [rank, target] : targets_) {
            if (target.at > now) continue;
            target.at = Clock::time_point::max();
            due.emplace_back(rank, target);
        }
    }
    for (auto& [rank, target] : due) {
        Attempt attempt{{},
                        Handshake::of_subscriber(security_, target.key),
                        now + kDataHandshakeTimeout,
                        rank,
                        true,
                        {},
                        {}};
        try {
            attempt.socket = start_connecting(target.endpoint);
        } catch (const std::exception& error) {
            // No descriptor is left, or the interface that the address names has gone.
            failed(attempt, error.what());
            continue;
        }
        if (!attempt.socket) {
            failed(attempt, "it cannot be reached");
            continue;
        }
        attempt.out = attempt.handshake.output();
        attempts_.push_back(std::move(attempt));
    }
}

bool Connector::go_on(Attempt& attempt, bool readable) {
    const int socket = attempt.socket.descriptor();
    const auto fail = [&](const std::string& why) {
        failed(attempt, why);
        return false;
    };
    if (attempt.connecting) {
        if (const int error = error_of(attempt.socket); error != 0)
            return fail(std::strerror(error));
        attempt.connecting = false;
    }
    if (readable) {
        std::byte buffer[kMaxHandshakeBytes];
        const ssize_t got = ::recv(socket, buffer, sizeof buffer, 0);
        if (got == 0) return fail("it ended the connection");
        if (got < 0 && errno != EAGAIN && errno != EINTR) return fail(std::strerror(errno));
        if (got > 0) attempt.in.insert(attempt.in.end(), buffer, buffer + got);
    }
    std::size_t used = 0;
    const auto state = attempt.handshake.take(attempt.in, used);
    attempt.in.erase(attempt.in.begin(), attempt.in.begin() + static_cast<std::ptrdiff_t>(used));
    const Bytes more = attempt.handshake.output();
    attempt.out.insert(attempt.out.end(), more.begin(), more.end());
    while (!attempt.out.empty()) {
        const ssize_t sent = ::send(socket, attempt.out.data(), attempt.out.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno == EAGAIN) break;
        if (sent < 0) return fail(std::strerror(errno));
        attempt.out.erase(attempt.out.begin(), attempt.out.begin() + sent);
    }
    if (state == Handshake::State::failed) return fail(attempt.handshake.why());
    if (state != Handshake::State::done || !attempt.out.empty()) return true;
    established(attempt);
    return false;
}

void Connector::established(Attempt& attempt) {
    auto connection = std::make_unique<Connection>(Connection{
        std::move(attempt.socket),
        attempt.handshake.introduction(),
        Reader(attempt.rank ? kLongestFrame : kMaxSubscriptionBytes, std::move(attempt.in)),
        Writer(),
        attempt.rank,
        {}});
    const std::lock_guard lock(mutex_);
    if (attempt.rank) {
        // Another plan may call somebody else by this rank already.
        const auto target = targets_.find(*attempt.rank);
        if (stopped_ || target == targets_.end()) return;
        target->second.trouble.clear();
        target->second.connected = Clock::now();
    }
    offer(std::move(connection));
}

/// Requires: mutex_ is held.
void Connector::offer(std::unique_ptr<Connection> connection) {
    if (made_.size() >= kMaxWaiting) {
        // Who has waited longest without a plan to subscribe to has the least to lose.
        const auto oldest = std::ranges::find_if(made_, [](const auto& c) { return !c->rank; });
        if (oldest != made_.end()) {
            closing_.push_back(std::move(*oldest));
            made_.erase(oldest);
            wake_.signal();
        }
    }
    made_.push_back(std::move(connection));
    has_some_.store(true, std::memory_order_release);
    news_.signal();
}

void Connector::failed(const Attempt& attempt, const std::string& why) {
    if (!attempt.rank) return;
    const std::lock_guard lock(mutex_);
    const auto it = targets_.find(*attempt.rank);
    if (stopped_ || it == targets_.end()) return;
    it->second.trouble = why;
    it->second.call_again(Clock::now(), false);
}

void Connector::Target::call_again(Clock::time_point now, bool at_once) noexcept {
    if (at_once) interval = {};
    at = now + interval;
    interval = std::clamp(2 * interval, kReconnect, kReconnectAtMost);
}

/// What waits for a plan and has ended makes room.
void Connector::look_after_waiting(Clock::time_point now) {
    if (now < look_at_) return;
    look_at_ = now + kLookAfter;
    const std::lock_guard lock(mutex_);
    std::erase_if(made_, [](const auto& c) { return !c->rank && is_gone(*c); });
}

}  // namespace shoal::mesh::exchange::zmtp
