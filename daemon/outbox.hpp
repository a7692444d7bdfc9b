// Messages to other devices that wait for room in the mesh's queues.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <vector>

#include "mesh/wire/identity.hpp"

namespace shoal {

/// Keeps the order of what goes to one device. Owned by the control thread.
class Outbox {
  public:
    /// Bytes that may wait for one device; one that is this far behind is as good as lost.
    static constexpr std::size_t kMaxBytes = std::size_t{64} << 20;

    using Send = std::function<bool(const mesh::DeviceId&, const std::vector<std::byte>&)>;
    explicit Outbox(Send send) : send_(std::move(send)) {}

    /// False when the message cannot even wait; nothing is kept then.
    [[nodiscard]] bool send(const mesh::DeviceId& to, std::vector<std::byte> message);
    /// Try again what waits.
    void flush();
    /// Forget what waits for a device.
    void drop(const mesh::DeviceId& device) { waiting_.erase(device); }

  private:
    struct Queue {
        std::deque<std::vector<std::byte>> messages;
        std::size_t bytes = 0;
    };

    const Send send_;
    std::map<mesh::DeviceId, Queue> waiting_;
};

}  // namespace shoal
