#include "tests/exchange/zmtp/meddling_proxy.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <utility>
#include <vector>

#include "mesh/exchange/zmtp/wire.hpp"
#include "tests/exchange/zmtp/bytes.hpp"

namespace shoal::mesh::testing {

using namespace exchange::zmtp;

namespace {

bool send_all(int socket, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        pollfd at{socket, POLLOUT, 0};
        if (::poll(&at, 1, 10'000) != 1) return false;
        const ssize_t sent =
            ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) return false;
        bytes = bytes.subspan(static_cast<std::size_t>(sent));
    }
    return true;
}

}  // namespace

MeddlingProxy::MeddlingProxy(std::uint16_t target, Meddle meddle)
    : target_(target),
      meddle_(std::move(meddle)),
      listener_(listen_at("127.0.0.1", 0)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

MeddlingProxy::~MeddlingProxy() {
    thread_.request_stop();
    thread_.join();
}

void MeddlingProxy::run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
        std::vector<pollfd> all{{listener_.descriptor(), POLLIN, 0}};
        for (const Pair& pair : pairs_) {
            all.push_back({pair.near.descriptor(), POLLIN, 0});
            all.push_back({pair.far.descriptor(), POLLIN, 0});
        }
        if (::poll(all.data(), all.size(), 5) <= 0) continue;
        auto at = all.begin() + 1;
        std::erase_if(pairs_, [&](Pair& pair) {
            const bool near = (at++)->revents != 0, far = (at++)->revents != 0;
            return (near && !pass(pair, false)) || (far && !pass(pair, true));
        });
        if (all[0].revents != 0) accept();
    }
}

void MeddlingProxy::accept() {
    Pair pair;
    pair.near = accept_from(listener_);
    pair.far = start_connecting("tcp://127.0.0.1:" + std::to_string(target_));
    if (!pair.near || !pair.far) return;
    pair.number = connections_++;
    pairs_.push_back(std::move(pair));
}

/// False when the connection is over.
bool MeddlingProxy::pass(Pair& pair, bool from_publisher) {
    const Socket& from = from_publisher ? pair.far : pair.near;
    const Socket& to = from_publisher ? pair.near : pair.far;
    Direction& direction = from_publisher ? pair.back : pair.forth;
    Bytes buffer(1 << 16);
    const ssize_t got = ::recv(from.descriptor(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    buffer.resize(static_cast<std::size_t>(got));
    Bytes& came = direction.came;
    append(came, buffer);
    for (;;) {
        Passing passing{pair.number, direction.frames, from_publisher, false, {}, 0};
        std::size_t size = kGreetingBytes;
        if (direction.frames > 0) {
            Head head;
            if (decode_head(came, head) != HeadState::valid) return true;
            passing.command = head.command;
            passing.head = head.size;
            size = head.size + head.length;
        }
        if (came.size() < size) return true;
        passing.bytes.assign(came.begin(), came.begin() + static_cast<std::ptrdiff_t>(size));
        came.erase(came.begin(), came.begin() + static_cast<std::ptrdiff_t>(size));
        ++direction.frames;
        const Verdict verdict = meddle_(passing);
        if (!send_all(to.descriptor(), verdict.bytes) || verdict.cut) return false;
    }
}

}  // namespace shoal::mesh::testing
