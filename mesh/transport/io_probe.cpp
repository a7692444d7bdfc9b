#include "mesh/transport/io_probe.hpp"

#include <sodium.h>
#include <unistd.h>

#include <array>
#include <string>

#include "mesh/wire/hex.hpp"

namespace shoal::mesh::transport {

IoProbe::IoProbe(zmq::context_t& context, int io_thread)
    : receiver_(context, zmq::socket_type::pair), sender_(context, zmq::socket_type::pair) {
    for (zmq::socket_t* socket : {&receiver_, &sender_}) {
        socket->set(zmq::sockopt::linger, 0);
        socket->set(zmq::sockopt::affinity, std::uint64_t{1} << io_thread);
    }
    // A name without a file; nobody else's processes may connect to it.
    const uid_t self = ::getuid();
    if (zmq_setsockopt(receiver_.handle(), ZMQ_IPC_FILTER_UID, &self, sizeof self) != 0) {
        throw zmq::error_t();
    }
    std::array<std::uint8_t, 16> name{};
    randombytes_buf(name.data(), name.size());
    const std::string endpoint = "ipc://@shoal-probe-" + wire::to_hex(name);
    receiver_.bind(endpoint);
    sender_.connect(endpoint);
}

std::uint64_t IoProbe::turns() {
    zmq::message_t message;
    while (receiver_.recv(message, zmq::recv_flags::dontwait)) {
        ++turns_;
        on_its_way_ = false;
    }
    if (!on_its_way_) {
        on_its_way_ = sender_.send(zmq::message_t(), zmq::send_flags::dontwait).has_value();
    }
    return turns_;
}

}  // namespace shoal::mesh::transport
