#include "mesh/transport/socket_monitor.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <thread>

namespace socket_monitor_test {

using namespace std::chrono_literals;
using shoal::mesh::transport::SocketMonitor;

TEST_SUITE("socket monitor") {
    TEST_CASE("thousands of events that nobody takes do not stop the I/O thread") {
        // On the heap and leaked when it fails: a context whose I/O thread waits cannot be ended.
        struct Sockets {
            zmq::context_t context{1};
            zmq::socket_t free{context, zmq::socket_type::router};
            zmq::socket_t watched{context, zmq::socket_type::dealer};
            zmq::socket_t other{context, zmq::socket_type::dealer};
            SocketMonitor monitor{context, watched, "inproc://events", ZMQ_EVENT_ALL};
        };
        auto* all = new Sockets;
        for (auto* socket : {&all->free, &all->watched, &all->other}) {
            socket->set(zmq::sockopt::linger, 0);
        }
        all->free.bind("tcp://127.0.0.1:*");
        const std::string nobody = all->free.get(zmq::sockopt::last_endpoint);
        all->free.unbind(nobody);
        all->watched.set(zmq::sockopt::reconnect_ivl, 1);
        for (int i = 0; i < 8; ++i) all->watched.connect(nobody);
        // Three events a try; the limits of both ends, were they there, would be 2000 together.
        std::this_thread::sleep_for(2s);

        all->free.bind("tcp://127.0.0.1:*");
        all->free.set(zmq::sockopt::rcvtimeo, 10000);
        all->other.connect(all->free.get(zmq::sockopt::last_endpoint));
        zmq::message_t message;
        REQUIRE(all->other.send(zmq::str_buffer("hello"), zmq::send_flags::dontwait));
        REQUIRE(all->free.recv(message));
        int events = 0;
        while (all->monitor.take()) ++events;
        MESSAGE(events << " events");
        WARN(events > 2000);  // a busy machine may get fewer, and then tests less
        delete all;
    }
}

}  // namespace socket_monitor_test
