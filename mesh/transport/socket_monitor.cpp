#include "mesh/transport/socket_monitor.hpp"

namespace shoal::mesh::transport {

SocketMonitor::SocketMonitor(zmq::context_t& context, zmq::socket_t& watched,
                             const std::string& endpoint, int events)
    : events_(context, zmq::socket_type::pair) {
    events_.set(zmq::sockopt::linger, 0);
    // Between sockets of one process the limits of both ends add up, and none here is none at all.
    events_.set(zmq::sockopt::rcvhwm, 0);
    if (zmq_socket_monitor(watched.handle(), endpoint.c_str(), events) != 0) throw zmq::error_t();
    watched_ = watched.handle();
    try {
        events_.connect(endpoint);
    } catch (...) {
        stop();
        throw;
    }
}

void SocketMonitor::stop() noexcept {
    // This waits for an event that is being sent; after it none is.
    if (watched_ != nullptr) (void)zmq_socket_monitor(watched_, nullptr, 0);
    watched_ = nullptr;
    events_.close();
}

bool SocketMonitor::take() {
    zmq::message_t frame;
    if (!events_.recv(frame, zmq::recv_flags::dontwait)) return false;
    while (frame.more()) (void)events_.recv(frame, zmq::recv_flags::dontwait);
    return true;
}

}  // namespace shoal::mesh::transport
