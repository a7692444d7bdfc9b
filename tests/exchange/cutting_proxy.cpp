#include "tests/exchange/cutting_proxy.hpp"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <stdexcept>
#include <vector>

namespace shoal::mesh::testing {

namespace {

sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/// Closes with a reset, so that what the kernel still holds is lost as well.
void cut(int socket) {
    const linger now{1, 0};
    ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    ::close(socket);
}

/// False when the connection is over; adds to `carried`.
bool forward(int from, int to, std::size_t& carried) {
    std::array<char, 65536> buffer;
    const auto got = ::recv(from, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    for (ssize_t sent = 0; sent < got;) {
        const auto n =
            ::send(to, buffer.data() + sent, static_cast<std::size_t>(got - sent), MSG_NOSIGNAL);
        if (n <= 0) return false;
        sent += n;
    }
    carried += static_cast<std::size_t>(got);
    return got > 0;
}

struct Pair {
    int near, far;
    std::size_t carried = 0;
};

}  // namespace

CuttingProxy::CuttingProxy(std::uint16_t target, std::chrono::milliseconds every, std::size_t least)
    : target_(target),
      every_(every),
      least_(least),
      listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    auto address = loopback(0);
    socklen_t length = sizeof address;
    if (listener_ < 0 || ::bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
        ::listen(listener_, 64) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
        throw std::runtime_error("the proxy cannot listen");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

CuttingProxy::~CuttingProxy() {
    thread_.request_stop();
    thread_.join();
    ::close(listener_);
}

void CuttingProxy::run(const std::stop_token& stop) {
    std::vector<Pair> pairs;
    auto last_cut = std::chrono::steady_clock::now();
    const auto cut_those_with = [&](std::size_t least) {
        std::erase_if(pairs, [&](const Pair& pair) {
            if (pair.carried < least) return false;
            cut(pair.near);
            cut(pair.far);
            ++cuts_;
            return true;
        });
    };
    while (!stop.stop_requested()) {
        std::vector<pollfd> fds{{listener_, POLLIN, 0}};
        for (const Pair& pair : pairs) {
            fds.push_back({pair.near, POLLIN, 0});
            fds.push_back({pair.far, POLLIN, 0});
        }
        if (frozen_) fds.clear();
        ::poll(fds.data(), fds.size(), 2);
        if (frozen_) continue;
        const std::chrono::milliseconds every = every_;
        if (every.count() > 0 && std::chrono::steady_clock::now() - last_cut >= every) {
            cut_those_with(least_);
            last_cut = std::chrono::steady_clock::now();
            continue;
        }
        for (std::size_t i = pairs.size(); i-- > 0;) {
            Pair& pair = pairs[i];
            const bool alive =
                (fds[1 + 2 * i].revents == 0 || forward(pair.near, pair.far, pair.carried)) &&
                (fds[2 + 2 * i].revents == 0 || forward(pair.far, pair.near, pair.carried));
            if (alive) continue;
            cut(pair.near);
            cut(pair.far);
            pairs.erase(pairs.begin() + static_cast<std::ptrdiff_t>(i));
        }
        if ((fds[0].revents & POLLIN) == 0) continue;
        const int near = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        const int far = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const auto address = loopback(target_);
        if (near < 0 || far < 0 ||
            ::connect(far, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
            if (near >= 0) ::close(near);
            if (far >= 0) ::close(far);
            continue;
        }
        const int one = 1;
        ::setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        ::setsockopt(far, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        pairs.push_back({near, far, 0});
    }
    cut_those_with(0);
}

}  // namespace shoal::mesh::testing
