#include "mesh/exchange/publisher.hpp"

#include <cerrno>
#include <utility>

#include "mesh/exchange/frame.hpp"

namespace shoal::mesh::exchange {

namespace {

std::string text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

Publisher::Publisher(zmq::socket_t socket, bool authenticated)
    : socket_(std::move(socket)), authenticated_(authenticated) {}

bool Publisher::send(zmq::message_t& message) noexcept {
    for (;;) {
        if (zmq_msg_send(message.handle(), socket_.handle(), ZMQ_DONTWAIT) >= 0) return true;
        if (zmq_errno() != EINTR) return false;
    }
}

void Publisher::drain(std::vector<Change>& changes) {
    zmq::message_t message;
    for (;;) {
        if (zmq_msg_recv(message.handle(), socket_.handle(), ZMQ_DONTWAIT) < 0) {
            if (zmq_errno() == EINTR) continue;
            return;
        }
        const auto* bytes = message.data<std::byte>();
        // A subscription is 1 and the topic, its end 0 and the topic. Subscribers may send other
        // things upstream, and topics that are none of ours; neither is worth remembering.
        if (message.size() != kTopicBytes + 1) continue;
        std::string topic = text_of({bytes + 1, kTopicBytes});
        if (bytes[0] == std::byte{1}) {
            const char* user = zmq_msg_gets(message.handle(), "User-Id");
            if (subscriptions_.size() >= kMaxSubscriptions) continue;
            subscriptions_.insert(topic + (authenticated_ && user != nullptr ? user : ""));
            changes.push_back({std::move(topic), true});
        } else if (bytes[0] == std::byte{0}) {
            // Sent when the last subscriber of the topic is gone, so all of its entries go.
            for (auto at = subscriptions_.lower_bound(topic);
                 at != subscriptions_.end() && at->starts_with(topic);) {
                at = subscriptions_.erase(at);
            }
            changes.push_back({std::move(topic), false});
        }
    }
}

bool Publisher::is_subscribed(std::span<const std::byte> topic, const DeviceId& by) const {
    return subscriptions_.contains(text_of(topic) + (authenticated_ ? by.hex() : ""));
}

int Publisher::descriptor() const {
    return socket_.get(zmq::sockopt::fd);
}

}  // namespace shoal::mesh::exchange
