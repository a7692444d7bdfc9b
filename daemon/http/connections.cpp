#include "daemon/http/connections.hpp"

#include <fmt/format.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

namespace shoal::http {
namespace {

/// How late a deadline may be noticed; nobody wakes while no connection is open.
constexpr int kScanMilliseconds = 100;
constexpr std::size_t kEventsAtOnce = 64;
constexpr Connections::Id kWakeId = 0;

/// Bytes that a connection has received since it was opened; 0 when the kernel does not say.
std::uint64_t bytes_received(int socket) noexcept {
    tcp_info info{};
    socklen_t size = sizeof info;
    if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
    constexpr auto kEnd = offsetof(tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received;
    return size >= kEnd ? info.tcpi_bytes_received : 0;
}

/// An answer written past libmicrohttpd, which has none to send yet.
void send_plain(int socket, unsigned status, const char* reason) noexcept {
    std::array<char, 256> text{};
    const auto end = fmt::format_to_n(text.data(), text.size(),
                                      "HTTP/1.1 {} {}\r\nConnection: close\r\n"
                                      "Content-Length: 0\r\n\r\n",
                                      status, reason);
    // If the client does not take even this, it gets none.
    (void)::send(socket, text.data(), std::min(end.size, text.size()), MSG_DONTWAIT | MSG_NOSIGNAL);
}

[[noreturn]] void no_descriptor(const char* call) {
    throw HttpError(fmt::format("cannot watch over HTTP connections: {}: {}", call,
                                std::generic_category().message(errno)));
}

}  // namespace

Connections::Connections(const HttpOptions& options) : options_(options) {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) no_descriptor("epoll_create1");
    event_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    epoll_event event{.events = EPOLLIN, .data = {.u64 = kWakeId}};
    if (event_ < 0 || epoll_ctl(epoll_, EPOLL_CTL_ADD, event_, &event) != 0) {
        const int error = errno;
        ::close(epoll_);
        if (event_ >= 0) ::close(event_);
        errno = error;
        no_descriptor("eventfd");
    }
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
    pthread_setname_np(thread_.native_handle(), "http-watch");
}

Connections::~Connections() {
    thread_.request_stop();
    wake();
    thread_.join();
    ::close(event_);
    ::close(epoll_);
}

Connections::Id Connections::opened(int socket) {
    const std::lock_guard lock(mutex_);
    const Id id = ++last_id_;
    Connection& c = connections_[id];
    c.socket = socket;
    c.deadline = Clock::now() + options_.header_timeout;
    // Edge-triggered: the end of the client's side is reported once.
    epoll_event event{.events = EPOLLRDHUP | EPOLLET, .data = {.u64 = id}};
    // Without the watch a client that leaves early is noticed when its answer is sent.
    (void)epoll_ctl(epoll_, EPOLL_CTL_ADD, socket, &event);
    if (connections_.size() == 1) wake();
    return id;
}

void Connections::closed(Id id) {
    const std::lock_guard lock(mutex_);
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    (void)epoll_ctl(epoll_, EPOLL_CTL_DEL, found->second.socket, nullptr);
    connections_.erase(found);
}

void Connections::headers_came(Id id) {
    const std::lock_guard lock(mutex_);
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    found->second.phase = Phase::body;
    found->second.deadline = Clock::now() + options_.body_timeout;
}

bool Connections::answering(Id id, std::shared_ptr<Reply> reply) {
    const std::lock_guard lock(mutex_);
    const auto found = connections_.find(id);
    if (found == connections_.end() || found->second.shut_down) return false;
    Connection& c = found->second;
    if (reply != nullptr && (stopping_ || (c.peer_closed && reply->is_generation()))) return false;
    c.phase = Phase::answer;
    c.deadline = Clock::now() + options_.drain_timeout;
    c.reply = std::move(reply);
    return true;
}

void Connections::answered(Id id) {
    const std::lock_guard lock(mutex_);
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    Connection& c = found->second;
    c.phase = Phase::headers;
    c.deadline = Clock::now() + options_.idle_timeout;
    c.bytes_before = bytes_received(c.socket);
    c.reply = nullptr;
}

void Connections::refuse(Id id, unsigned status, const char* reason) {
    const std::lock_guard lock(mutex_);
    const auto found = connections_.find(id);
    if (found == connections_.end() || found->second.shut_down) return;
    send_plain(found->second.socket, status, reason);
}

void Connections::cancel_later(std::shared_ptr<Reply> reply) {
    {
        const std::lock_guard lock(cancel_mutex_);
        to_cancel_.push_back(std::move(reply));
    }
    wake();
}

void Connections::stop() {
    std::vector<std::shared_ptr<Reply>> replies;
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        for (auto& [id, c] : connections_) {
            if (c.reply) replies.push_back(c.reply);
        }
    }
    for (const auto& reply : replies) reply->abort();
}

void Connections::run(const std::stop_token& stop) {
    std::array<epoll_event, kEventsAtOnce> events{};
    while (!stop.stop_requested()) {
        bool idle = false;
        {
            const std::lock_guard lock(mutex_);
            idle = connections_.empty();
        }
        const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()),
                                     idle ? -1 : kScanMilliseconds);
        for (int i = 0; i < count; ++i) {
            if (events[i].data.u64 != kWakeId) {
                peer_closed(static_cast<Id>(events[i].data.u64));
                continue;
            }
            eventfd_t ignored = 0;
            (void)eventfd_read(event_, &ignored);
        }
        std::vector<std::shared_ptr<Reply>> to_cancel;
        {
            const std::lock_guard lock(cancel_mutex_);
            to_cancel.swap(to_cancel_);
        }
        for (const auto& reply : to_cancel) reply->cancel_service();
        end_overdue();
        ask_again();
    }
}

void Connections::peer_closed(Id id) {
    std::shared_ptr<Reply> reply;
    {
        const std::lock_guard lock(mutex_);
        const auto found = connections_.find(id);
        if (found == connections_.end()) return;
        found->second.peer_closed = true;
        reply = found->second.reply;
    }
    if (reply) reply->client_left();
}

void Connections::end_overdue() {
    const std::lock_guard lock(mutex_);
    const auto now = Clock::now();
    for (auto& [id, c] : connections_) {
        if (c.shut_down) continue;
        const bool overdue = c.reply ? c.reply->overdue(now) : now > c.deadline;
        if (overdue) expire(c);
    }
}

void Connections::ask_again() {
    std::vector<std::shared_ptr<Reply>> repeating;
    {
        const std::lock_guard lock(mutex_);
        for (const auto& [id, c] : connections_) {
            if (c.reply && c.reply->repeats()) repeating.push_back(c.reply);
        }
    }
    // Without the mutex: the service may answer before it returns.
    for (const auto& reply : repeating) reply->ask_again(Clock::now());
}

void Connections::expire(Connection& c) {
    // A kept connection that brought nothing is closed without a word, as its client may be about
    // to use it and would take the word for an answer.
    const bool begun = c.phase == Phase::body ||
                       (c.phase == Phase::headers && bytes_received(c.socket) > c.bytes_before);
    if (begun) send_plain(c.socket, 408, "Request Timeout");
    // libmicrohttpd sees the end of the stream and cleans up.
    ::shutdown(c.socket, SHUT_RDWR);
    c.shut_down = true;
}

void Connections::wake() noexcept {
    (void)eventfd_write(event_, 1);
}

}  // namespace shoal::http
