#include "daemon/requests/outbox.hpp"

#include <chrono>
#include <iterator>
#include <utility>

namespace shoal {
namespace {

// What waits is tried again this often.
constexpr auto kOutboxRetry = std::chrono::milliseconds(100);

}  // namespace

bool Outbox::send(const mesh::DeviceId& to, std::vector<std::byte> message) {
    const auto it = waiting_.find(to);
    if (it == waiting_.end()) {
        if (send_(to, message)) return true;
        Queue& queue = waiting_[to];
        queue.bytes = message.size();
        queue.messages.push_back(std::move(message));
        if (!flushing_) flush_later();
        return true;
    }
    Queue& queue = it->second;
    if (queue.bytes + message.size() > kMaxBytes) return false;
    queue.bytes += message.size();
    queue.messages.push_back(std::move(message));
    return true;
}

void Outbox::flush_later() {
    flushing_ = loop_.after(
        kOutboxRetry, [this] { flush(); }, "messages that found no room");
}

void Outbox::flush() {
    flushing_.reset();
    for (auto it = waiting_.begin(); it != waiting_.end();) {
        Queue& queue = it->second;
        while (!queue.messages.empty() && send_(it->first, queue.messages.front())) {
            queue.bytes -= queue.messages.front().size();
            queue.messages.pop_front();
        }
        it = queue.messages.empty() ? waiting_.erase(it) : std::next(it);
    }
    if (!waiting_.empty()) flush_later();
}

}  // namespace shoal
