#include "daemon/requests/replies.hpp"

#include <algorithm>
#include <chrono>

#include "daemon/log/log.hpp"

namespace shoal {

using mesh::messages::ErrorCode;
using mesh::messages::Event;
using mesh::messages::Failed;

namespace {

// What found no room is tried again this often.
constexpr auto kReplyRetry = std::chrono::milliseconds(100);

}  // namespace

void Replies::send(const Origin& origin, const Event& event) {
    if (origin.device == ports_.self()) return ends_.own(origin.id, event);
    if (owes(origin) || ports_.send_event(origin.device, {origin.id, event, origin.attempt})) {
        return;
    }
    owe(origin, event);
}

bool Replies::owes(const Origin& origin) const {
    return std::any_of(owed_.begin(), owed_.end(),
                       [&](const Owed& owed) { return owed.origin == origin; });
}

void Replies::owe(const Origin& origin, const Event& refused) {
    log::warn("no room for an event to device {}; its request {} ends",
              origin.device.hex().substr(0, 8), origin.id);
    const Failed ended{ErrorCode::unavailable,
                       "this device's connection to the one that leads is too slow for the answer, "
                       "which was ended; try again"};
    // A device with so many requests has long been told of the first ones' end.
    if (owed_.size() == kMaxOwed) owed_.erase(owed_.begin());
    owed_.push_back(
        {origin, mesh::messages::is_final(refused) ? refused : Event(ended), loop_.now()});
    if (!settling_) settle_later();
    // Later, because whoever emits may be in the middle of its jobs.
    loop_.post([this, origin] {
        if (owes(origin)) ends_.lost(origin);
    });
}

void Replies::settle_later() {
    settling_ = loop_.after(
        kReplyRetry,
        [this] {
            std::erase_if(owed_, [&](const Owed& owed) {
                const Origin& to = owed.origin;
                return ports_.send_event(to.device, {to.id, owed.last, to.attempt}) ||
                       loop_.now() - owed.since > patience_;
            });
            settling_.reset();
            if (!owed_.empty()) settle_later();
        },
        "events that found no room");
}

}  // namespace shoal
