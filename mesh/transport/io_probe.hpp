// Whether an I/O thread of libzmq still does anything.
#pragma once

#include <cstdint>
#include <zmq.hpp>

namespace shoal::mesh::transport {

/// Sends itself a message through the I/O thread, again and again. Everything of a plane stops when
/// its I/O thread does, while the threads that use it go on and see silence.
/// Made by any thread, then owned by one.
class IoProbe {
  public:
    /// Throws zmq::error_t when no socket can be had.
    IoProbe(zmq::context_t& context, int io_thread);

    /// How many messages came through. Asked twice, with a moment between, it has grown.
    std::uint64_t turns();

  private:
    zmq::socket_t receiver_, sender_;
    bool on_its_way_ = false;
    std::uint64_t turns_ = 0;
};

}  // namespace shoal::mesh::transport
