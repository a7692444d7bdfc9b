// With it the C library's headers define recv(), as is done below.
#undef _FORTIFY_SOURCE
#include "daemon/accept_hook.hpp"

#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>

namespace shoal {
namespace {

using mesh::transport::AcceptGate;
using mesh::transport::GateLimits;

// Local sockets have no port; no TCP listener has this one.
constexpr std::uint16_t kLocal = 0;

std::uint64_t number_of(int descriptor) noexcept {
    struct stat info {};
    return fstat(descriptor, &info) == 0 && S_ISSOCK(info.st_mode) ? info.st_ino : 0;
}

bool is_open(const AcceptGate::Connection& c) {
    return number_of(c.descriptor) == c.number;
}

bool is_silent(const AcceptGate::Connection& c) {
    tcp_info info{};
    socklen_t size = sizeof info;
    return getsockopt(c.descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
           size >= offsetof(tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received &&
           info.tcpi_bytes_received == 0;
}

// C calls accept(), so this is what must be global.
struct Guarded {
    struct Listener {
        AcceptGate gate;
        std::uint64_t bytes = 0;  // as GateLimits has it
    };
    std::mutex mutex;
    std::map<std::uint16_t, Listener> listeners;  // by port; guarded by mutex
    int reserve = -1;                             // guarded by mutex
    std::atomic<std::uint64_t> refused{0};

    void add(std::uint16_t port, const GateLimits& limits) {
        const std::lock_guard lock(mutex);
        listeners.erase(port);
        listeners.try_emplace(port,
                              Listener{AcceptGate(limits, {is_open, is_silent}), limits.bytes});
        refill();
    }
    void remove(std::uint16_t port) {
        const std::lock_guard lock(mutex);
        listeners.erase(port);
    }
    void refill() noexcept {
        if (reserve < 0) reserve = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
};

Guarded& guarded() {
    static Guarded all;
    return all;
}

// What may still be read of connections to listeners that bound it. They close without a word: a
// descriptor that is another socket's by now is forgotten when that one reads.
class Allowances {
  public:
    void give(const AcceptGate::Connection& connection, std::uint16_t port, std::uint64_t bytes) {
        const std::lock_guard lock(mutex_);
        left_[connection.descriptor] = {connection.number, port, bytes, false};
        any_.store(true, std::memory_order_relaxed);
    }
    // Its connections are about to close, and are bounded till then.
    void leave(std::uint16_t port) {
        const std::lock_guard lock(mutex_);
        for (auto& left : left_) left.second.closing |= left.second.port == port;
    }
    // Nothing: this one is not bounded.
    std::optional<std::uint64_t> of(int descriptor) {
        // Almost always so; and the thread that reads is the one that accepted.
        if (!any_.load(std::memory_order_relaxed)) return std::nullopt;
        const std::lock_guard lock(mutex_);
        std::erase_if(left_, [&](const auto& left) {
            return (left.second.closing || left.first == descriptor) &&
                   left.second.number != number_of(left.first);
        });
        any_.store(!left_.empty(), std::memory_order_relaxed);
        const auto it = left_.find(descriptor);
        return it == left_.end() ? std::nullopt : std::optional(it->second.bytes);
    }
    void take(int descriptor, std::uint64_t bytes) {
        const std::lock_guard lock(mutex_);
        const auto it = left_.find(descriptor);
        if (it != left_.end()) it->second.bytes -= bytes;
    }

  private:
    struct Left {
        std::uint64_t number = 0;  // of the socket
        std::uint16_t port = 0;    // of its listener
        std::uint64_t bytes = 0;
        bool closing = false;
    };
    std::mutex mutex_;
    std::map<int, Left> left_;  // by descriptor; guarded by mutex_
    std::atomic<bool> any_{false};
};

Allowances& allowances() {
    static Allowances all;
    return all;
}

std::uint16_t port_of(int listener) noexcept {
    sockaddr_storage own{};
    socklen_t size = sizeof own;
    if (getsockname(listener, reinterpret_cast<sockaddr*>(&own), &size) != 0) return kLocal;
    sockaddr_in in{};  // The port is at the same place for both families.
    std::memcpy(&in, &own, sizeof in);
    return own.ss_family == AF_UNIX ? kLocal : ntohs(in.sin_port);
}

std::optional<AcceptGate::Connection> describe(int descriptor) noexcept {
    AcceptGate::Connection connection;
    connection.descriptor = descriptor;
    connection.number = number_of(descriptor);
    connection.since = std::chrono::steady_clock::now();
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    // Who is gone already is nobody's loss.
    if (getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return {};
    if (peer.ss_family == AF_UNIX) {
        ucred process{};
        size = sizeof process;
        if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &process, &size) != 0) return {};
        connection.source = mesh::transport::source_of_process(process.pid);
    } else {
        connection.source = mesh::transport::source_of(peer);
    }
    return connection;
}

int real_accept(int listener, sockaddr* address, socklen_t* size, int flags) noexcept {
    return static_cast<int>(syscall(SYS_accept4, listener, address, size, flags));
}

// With the table full, a connection that waits would make the listener readable for ever; it is
// taken in place of the descriptor kept for this, and closed.
void drop_one(Guarded& all, int listener) noexcept {
    if (all.reserve >= 0) ::close(all.reserve);
    all.reserve = -1;
    const int dropped = real_accept(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (dropped >= 0) ::close(dropped);
    all.refill();
}

// What libzmq takes as "none, then": other errors, which Linux has for connections that broke
// while they waited and for a full table, make it abort.
int none() noexcept {
    errno = ECONNABORTED;
    return -1;
}

int guarded_accept(int listener, sockaddr* address, socklen_t* size, int flags) {
    Guarded& all = guarded();
    std::unique_lock lock(all.mutex);
    const auto it = all.listeners.find(port_of(listener));
    if (it == all.listeners.end()) {
        lock.unlock();  // It may wait.
        return real_accept(listener, address, size, flags);
    }
    const int descriptor = real_accept(listener, address, size, flags);
    if (descriptor < 0) {
        if (errno == EAGAIN || errno == EINTR) return -1;
        if (errno == EMFILE || errno == ENFILE) {
            drop_one(all, listener);
            ++all.refused;
        }
        return none();
    }
    AcceptGate::Verdict verdict;
    const auto connection = describe(descriptor);
    if (connection) verdict = it->second.gate.arrive(*connection);
    if (verdict.admitted && it->second.bytes != 0) {
        allowances().give(*connection, it->first, it->second.bytes);
    }
    // A listener's connections are served, and closed, by the thread that accepts them, which is
    // this one: the descriptor is still the one that was looked at.
    if (verdict.closed) ::shutdown(verdict.closed->descriptor, SHUT_RDWR);
    if (verdict.closed || !verdict.admitted) ++all.refused;
    if (verdict.admitted) return descriptor;
    ::close(descriptor);
    return none();
}

ssize_t real_recv(int socket, void* buffer, std::size_t size, int flags) noexcept {
    return syscall(SYS_recvfrom, socket, buffer, size, flags, nullptr, nullptr);
}

// Whoever has said more than anybody needs to is, to libzmq, one who has closed his end.
ssize_t bounded_recv(int socket, void* buffer, std::size_t size, int flags) {
    const auto left = allowances().of(socket);
    if (!left) return real_recv(socket, buffer, size, flags);
    if (*left == 0) {
        ++guarded().refused;
        return 0;
    }
    const ssize_t got = real_recv(socket, buffer, std::min<std::uint64_t>(size, *left), flags);
    if (got > 0) allowances().take(socket, static_cast<std::uint64_t>(got));
    return got;
}

}  // namespace

void AcceptHook::guard_port(std::uint16_t port, const GateLimits& limits) {
    guarded().add(port, limits);
}

void AcceptHook::leave_port(std::uint16_t port) {
    guarded().remove(port);
    allowances().leave(port);
}

void AcceptHook::guard_local(const GateLimits& limits) {
    guarded().add(kLocal, limits);
}

std::uint64_t AcceptHook::refused() noexcept {
    return guarded().refused.load(std::memory_order_relaxed);
}

}  // namespace shoal

extern "C" {

int accept4(int listener, sockaddr* address, socklen_t* size, int flags) {
    return shoal::guarded_accept(listener, address, size, flags);
}

int accept(int listener, sockaddr* address, socklen_t* size) {
    return shoal::guarded_accept(listener, address, size, 0);
}

ssize_t recv(int socket, void* buffer, std::size_t size, int flags) {
    return shoal::bounded_recv(socket, buffer, size, flags);
}
}
