#include "tests/joining/recording_proxy.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

namespace shoal::mesh::testing {

namespace {

sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
}

int connect_to(std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(port);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
    ::close(fd);
    return -1;
}

/// What can be read now; nothing at the end or when there is nothing within the time.
std::string read_some(int fd, int timeout_ms) {
    pollfd item{fd, POLLIN, 0};
    std::array<char, 4096> buffer{};
    if (::poll(&item, 1, timeout_ms) <= 0) return "";
    const ssize_t size = ::read(fd, buffer.data(), buffer.size());
    return size <= 0 ? "" : std::string(buffer.data(), static_cast<std::size_t>(size));
}

void write_all(int fd, const std::string& bytes) {
    // The pieces are small; whoever does not take them has gone.
    (void)::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

}  // namespace

RecordingProxy::RecordingProxy(std::uint16_t target) : target_(target) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
        ::listen(listener_, 8) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        throw std::runtime_error("the proxy cannot listen");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

RecordingProxy::~RecordingProxy() {
    thread_.request_stop();
    thread_.join();
    ::close(listener_);
}

std::string RecordingProxy::there() const {
    const std::lock_guard lock(mutex_);
    return there_;
}

std::string RecordingProxy::back() const {
    const std::lock_guard lock(mutex_);
    return back_;
}

void RecordingProxy::run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
        pollfd item{listener_, POLLIN, 0};
        if (::poll(&item, 1, 20) <= 0) continue;
        const int near = ::accept(listener_, nullptr, nullptr);
        if (near < 0) continue;
        carry(near, stop);
        ::close(near);
    }
}

void RecordingProxy::carry(int near, const std::stop_token& stop) {
    const int far = connect_to(target_);
    std::size_t passed = 0;
    while (far >= 0 && !stop.stop_requested()) {
        std::array<pollfd, 2> ends{{{near, POLLIN, 0}, {far, POLLIN, 0}}};
        if (::poll(ends.data(), ends.size(), 20) <= 0) continue;
        const bool forth = ends[0].revents != 0;
        std::string bytes = read_some(forth ? near : far, 0);
        if (bytes.empty()) break;
        for (std::size_t i = 0; forth && i < bytes.size(); ++i) {
            if (passed + i >= flip_from_) bytes[i] = static_cast<char>(bytes[i] ^ 1);
        }
        if (forth) passed += bytes.size();
        write_all(forth ? far : near, bytes);
        const std::lock_guard lock(mutex_);
        if (!recorded_) (forth ? there_ : back_) += bytes;
    }
    if (far >= 0) ::close(far);
    const std::lock_guard lock(mutex_);
    recorded_ = true;
}

std::string RecordingProxy::replay(const std::string& said) const {
    const int far = connect_to(target_);
    if (far < 0) return "";
    write_all(far, said);
    std::string answer;
    for (int i = 0; i < 10; ++i) answer += read_some(far, 100);
    ::close(far);
    return answer;
}

}  // namespace shoal::mesh::testing
