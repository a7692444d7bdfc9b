#include "mesh/transport/io_probe.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <thread>

namespace io_probe_test {

using namespace std::chrono_literals;
using shoal::mesh::transport::IoProbe;

namespace {

/// Whether it grows within the time.
bool turns(IoProbe& probe, std::chrono::milliseconds at_most) {
    const auto before = probe.turns();
    const auto end = std::chrono::steady_clock::now() + at_most;
    while (probe.turns() == before) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(10ms);
    }
    return true;
}

}  // namespace

TEST_SUITE("io probe") {
    TEST_CASE("an I/O thread that waits for ever is seen, the other one is not concerned") {
        zmq::context_t context(2);
        IoProbe first(context, 0), second(context, 1);
        CHECK(turns(first, 20s));
        CHECK(turns(second, 20s));
        // A monitor without a reader stops the I/O thread at its first event.
        zmq::socket_t watched(context, zmq::socket_type::dealer);
        watched.set(zmq::sockopt::linger, 0);
        watched.set(zmq::sockopt::affinity, std::uint64_t{1});
        watched.set(zmq::sockopt::reconnect_ivl, 1);
        REQUIRE(zmq_socket_monitor(watched.handle(), "inproc://unread", ZMQ_EVENT_CLOSED) == 0);
        watched.connect("tcp://127.0.0.1:1");
        bool stopped = false;
        for (int i = 0; i < 100 && !stopped; ++i) stopped = !turns(first, 500ms);
        CHECK(stopped);
        CHECK(turns(second, 20s));
        // Read, it goes on; the rest is for the context to end.
        zmq::socket_t reader(context, zmq::socket_type::pair);
        reader.set(zmq::sockopt::linger, 0);
        reader.set(zmq::sockopt::rcvhwm, 0);
        reader.connect("inproc://unread");
        CHECK(turns(first, 20s));
        REQUIRE(zmq_socket_monitor(watched.handle(), nullptr, 0) == 0);
    }
}

}  // namespace io_probe_test
