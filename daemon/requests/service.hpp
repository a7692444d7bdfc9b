// What the daemon does for its users, whichever door they came through.
#pragma once

#include <cstdint>
#include <functional>

#include "mesh/messages/requests.hpp"

namespace shoal::http {

/// Thread-safe. Implemented by the daemon; the HTTP API, the control socket and the mesh's
/// request channel are thin adaptors over it.
class Service {
  public:
    /// Called from the service's own thread, in order, ending with one final event. Must return
    /// quickly and may not block: a slow client's events are the adaptor's to buffer.
    using Sink = std::function<void(const mesh::messages::Event&)>;
    using Ticket = std::uint64_t;

    virtual ~Service() = default;
    /// Start a request. Invalid requests are answered with Failed through the sink.
    virtual Ticket start(mesh::messages::Request request, mesh::messages::Door door, Sink sink) = 0;
    /// Stop a request: its sink is not called again after its final event, which comes soon.
    /// Unknown and finished tickets are ignored.
    virtual void cancel(Ticket ticket) noexcept = 0;
};

}  // namespace shoal::http
