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

bool forward(int from, int to) {
    std::array<char, 65536> buffer;
    const auto got = ::recv(from, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    for (ssize_t sent = 0; sent < got;) {
        const auto n =
            ::send(to, buffer.data() + sent, static_cast<std::size_t>(got - sent), MSG_NOSIGNAL);
        if (n <= 0) return false;
        sent += n;
    }
    return got > 0;
}

struct Pair {
    int near, far;
};

}  // namespace

CuttingProxy::CuttingProxy(std::uint16_t target, std::chrono::milliseconds every)
    : target_(target), every_(every), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
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
    auto next_cut = std::chrono::steady_clock::now() + every_;
    const auto cut_all = [&] {
        for (const Pair& pair : pairs) {
            cut(pair.near);
            cut(pair.far);
            ++cuts_;
        }
        pairs.clear();
    };
    while (!stop.stop_requested()) {
        std::vector<pollfd> fds{{listener_, POLLIN, 0}};
        for (const Pair& pair : pairs) {
            fds.push_back({pair.near, POLLIN, 0});
            fds.push_back({pair.far, POLLIN, 0});
        }
        if (frozen_) fds.clear();
        ::poll(fds.data(), fds.size(), 10);
        if (frozen_) continue;
        if (every_.count() > 0 && std::chrono::steady_clock::now() >= next_cut) {
            cut_all();
            next_cut += every_;
            continue;
        }
        for (std::size_t i = pairs.size(); i-- > 0;) {
            const Pair pair = pairs[i];
            const bool alive = (fds[1 + 2 * i].revents == 0 || forward(pair.near, pair.far)) &&
                               (fds[2 + 2 * i].revents == 0 || forward(pair.far, pair.near));
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
        pairs.push_back({near, far});
    }
    cut_all();
}

}  // namespace shoal::mesh::testing
