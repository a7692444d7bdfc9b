// Messages to other devices that wait for room in the mesh's queues.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "daemon/loop/loop.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// Keeps the order of what goes to one device, and tries again by itself. Owned by the control
/// thread.
class Outbox {
  public:
    /// Bytes that may wait for one device; one that is this far behind is as good as lost.
    static constexpr std::size_t kMaxBytes = std::size_t{64} << 20;

    using Send = std::function<bool(const mesh::DeviceId&, const std::vector<std::byte>&)>;
    Outbox(Loop& loop, Send send) : loop_(loop), send_(std::move(send)) {}

    /// False when the message cannot even wait; nothing is kept then.
    [[nodiscard]] bool send(const mesh::DeviceId& to, std::vector<std::byte> message);
    /// Forget what waits for a device.
    void drop(const mesh::DeviceId& device) { waiting_.erase(device); }

  private:
    struct Queue {
        std::deque<std::vector<std::byte>> messages;
        std::size_t bytes = 0;
    };

    void flush();
    void flush_later();

    Loop& loop_;
    const Send send_;
    std::map<mesh::DeviceId, Queue> waiting_;
    Timer flushing_;  // while something waits
};

}  // namespace shoal
