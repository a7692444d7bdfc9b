// Hears what happens to the connections of a ZeroMQ socket.
#pragma once

#include <string>
#include <utility>
#include <zmq.hpp>

namespace shoal::mesh::transport {

/// libzmq's I/O thread sends each event on a pair of sockets, and waits, with all connections that
/// it serves, while nobody can take it. So the receiving end is there before the first event and
/// goes after the last one, and its queue has no limit: events come no faster than connections
/// break, and whoever never reads them has stopped anyway.
///
/// Destroy it, or call stop(), before the watched socket is closed. Owned by that socket's thread.
class SocketMonitor {
  public:
    SocketMonitor() = default;
    /// Watches for `events` (ZMQ_EVENT_...); `endpoint` is an inproc name used once in the context.
    /// Requires: `watched` is not connected yet. Throws zmq::error_t when no socket can be had.
    SocketMonitor(zmq::context_t& context, zmq::socket_t& watched, const std::string& endpoint,
                  int events);
    ~SocketMonitor() { stop(); }
    SocketMonitor(SocketMonitor&& other) noexcept { swap(other); }
    SocketMonitor& operator=(SocketMonitor&& other) noexcept {
        SocketMonitor(std::move(other)).swap(*this);
        return *this;
    }

    explicit operator bool() const noexcept { return static_cast<bool>(events_); }
    void stop() noexcept;

    /// Takes one event; false when there is none.
    [[nodiscard]] bool take();
    /// What to poll: becomes readable when there is an event.
    zmq::socket_t& socket() noexcept { return events_; }
    int descriptor() const { return events_.get(zmq::sockopt::fd); }

  private:
    void swap(SocketMonitor& other) noexcept {
        std::swap(watched_, other.watched_);
        std::swap(events_, other.events_);
    }

    void* watched_ = nullptr;  ///< as zmq_socket_monitor knows it
    zmq::socket_t events_;
};

}  // namespace shoal::mesh::transport
