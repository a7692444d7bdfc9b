#include "tests/cli/fake_daemon.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <latch>
#include <zmq.hpp>

namespace shoal::tests {
namespace messages = mesh::messages;

TempDir::TempDir() {
    char pattern[] = "/tmp/shoal-cli-XXXXXX";
    REQUIRE(mkdtemp(pattern) != nullptr);
    path_ = pattern;
}

TempDir::~TempDir() {
    std::filesystem::remove_all(path_);
}

FakeDaemon::FakeDaemon(Script script, const std::string& socket)
    : socket_(socket.empty() ? dir_.file("control.sock") : socket), script_(std::move(script)) {
    std::latch bound(1);
    thread_ = std::jthread([this, &bound](std::stop_token stop) {
        // Bound before the test goes on: a client looks for the socket at once.
        zmq::context_t context(1);
        zmq::socket_t router(context, zmq::socket_type::router);
        router.set(zmq::sockopt::linger, 0);
        router.bind("ipc://" + socket_);
        bound.count_down();
        while (!stop.stop_requested()) {
            zmq::pollitem_t item{router.handle(), 0, ZMQ_POLLIN, 0};
            zmq::poll(&item, 1, std::chrono::milliseconds(5));
            zmq::message_t peer, message;
            if (!router.recv(peer, zmq::recv_flags::dontwait)) continue;
            if (!router.recv(message)) continue;
            const auto frame = messages::decode_request(
                {static_cast<const std::byte*>(message.data()), message.size()});
            if (!frame) continue;
            {
                const std::lock_guard lock(mutex_);
                requests_.push_back(*frame);
            }
            arrived_.notify_all();
            std::uint64_t id = frame->id;
            const Reply reply = [&](const messages::Event& event) {
                const auto bytes = messages::encode(messages::EventFrame{id, event});
                router.send(zmq::buffer(peer.data(), peer.size()), zmq::send_flags::sndmore);
                router.send(bytes_.empty() ? zmq::buffer(bytes) : zmq::buffer(bytes_));
            };
            if (const auto* cancel = std::get_if<messages::CancelRequest>(&frame->body)) {
                id = cancel->request;
                if (answer_cancel_)
                    reply(messages::Done{.reason = messages::StopReason::cancelled});
            } else if (std::holds_alternative<messages::DescribeRequest>(frame->body)) {
                reply(described_);
            } else {
                script_(*frame, reply);
            }
        }
    });
    bound.wait();
}

FakeDaemon::~FakeDaemon() = default;

void FakeDaemon::die() {
    thread_.request_stop();
    thread_.join();
}

std::vector<messages::RequestFrame> FakeDaemon::requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
}

}  // namespace shoal::tests
