// The publishing socket of the data plane and who is subscribed to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>
#include <zmq.hpp>

#include "mesh/wire/identity.hpp"

namespace shoal::mesh::exchange {

/// Topics remembered at one time. A device has two per plan that it takes part in.
inline constexpr std::size_t kMaxSubscriptions = 4096;

/// Externally synchronised; used by one thread at a time.
class Publisher {
  public:
    /// A subscription that began or ended.
    struct Change {
        std::string topic;
        bool begun = false;
    };

    /// `socket` is a bound XPUB. With `authenticated`, a subscription counts only when the key
    /// that ZAP vouched for is the device's.
    Publisher(zmq::socket_t socket, bool authenticated);

    /// Sends at once or not at all; false when the queue to a subscriber is full.
    [[nodiscard]] bool send(zmq::message_t& message) noexcept;

    /// Takes in what subscribers did since the last call and appends it to `changes`.
    void drain(std::vector<Change>& changes);

    bool authenticated() const noexcept { return authenticated_; }
    bool is_subscribed(std::span<const std::byte> topic, const DeviceId& by) const;

    /// Readable when there may be something to drain. libzmq signals edges only: after a send,
    /// something may wait although the descriptor stays quiet.
    int descriptor() const;

  private:
    zmq::socket_t socket_;
    bool authenticated_;
    std::set<std::string> subscriptions_;  // topic, then the subscriber's id in hex or nothing
};

}  // namespace shoal::mesh::exchange
