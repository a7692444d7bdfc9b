// The door for the command line and for administration: a ZeroMQ socket in the file system.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/control_loop.hpp"
#include "daemon/http/service.hpp"

namespace zmq {
class context_t;
class socket_t;
}  // namespace zmq

namespace shoal {

/// Owned by the control thread. Whoever may enter the socket's folder may use it: the folder is
/// made with mode 0750 and given to the group.
class ControlSocket {
  public:
    /// Throws std::runtime_error with the path when the socket cannot be made, or when a running
    /// daemon has it. An unknown group is an error too; an empty one is none.
    ControlSocket(zmq::context_t& context, const std::string& path, const std::string& group,
                  ControlLoop& loop, http::Service& service);
    ~ControlSocket();

    int descriptor() const;
    /// Take the requests that came.
    void poll();

  private:
    using Client = std::string;  // the ROUTER's name of a connection
    using Key = std::pair<Client, std::uint64_t>;

    void take(const Client& client, const void* data, std::size_t size);
    void send(const Client& client, const mesh::wire::EventFrame& frame);
    void drop(const Client& client);

    const std::string path_;
    ControlLoop& loop_;
    http::Service& service_;
    std::unique_ptr<zmq::socket_t> socket_;
    std::map<Key, http::Service::Ticket> tickets_;
    /// Callbacks that come after the end find it gone.
    std::shared_ptr<ControlSocket*> self_ = std::make_shared<ControlSocket*>(this);
};

}  // namespace shoal
