// The door for the command line and for administration: a ZeroMQ socket in the file system.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/loop/control_loop.hpp"
#include "daemon/requests/log_limit.hpp"
#include "daemon/requests/service.hpp"

namespace zmq {
class context_t;
class socket_t;
}  // namespace zmq

namespace shoal {

/// Owned by the control thread. The daemon's user and the members of the group may use it, and
/// without a group the user alone: socket and folder are made with such modes and given to the
/// group. A folder that was there keeps its own.
class ControlSocket {
  public:
    /// Throws std::runtime_error with the path when the socket cannot be made, or when a running
    /// daemon has it. An unknown group is an error too; an empty one is none.
    ControlSocket(zmq::context_t& context, const std::string& path, const std::string& group,
                  http::Service& service);
    ~ControlSocket();

    int descriptor() const;
    /// Takes requests that came, a bounded number; when there may be more, next_deadline() has
    /// passed.
    void poll();
    ControlLoop::Clock::time_point next_deadline() const noexcept;

  private:
    using Client = std::string;  // the ROUTER's name of a connection
    using Key = std::pair<Client, std::uint64_t>;

    struct Running {
        http::Service::Ticket ticket = 0;
        std::size_t bytes = 0;  // of the request
    };

    void take(const Client& client, const std::string& user, const void* data, std::size_t size);
    /// Why a request of that size cannot be taken now; empty: it can.
    std::string too_much(const Key& key, std::size_t size) const;
    void forget(const Key& key);
    void send(const Client& client, const mesh::messages::EventFrame& frame);
    void drop(const Client& client);

    const std::string path_;
    http::Service& service_;
    std::unique_ptr<zmq::socket_t> socket_;
    std::map<Key, Running> tickets_;
    std::size_t bytes_ = 0;         // of all that runs
    std::optional<Client> client_;  // of the message that is being read
    const std::uint64_t salt_;      // tells this device's users from those of others
    bool more_ = false;
    LogLimit complaints_;
    /// Callbacks that come after the end find it gone.
    std::shared_ptr<ControlSocket*> self_ = std::make_shared<ControlSocket*>(this);
};

}  // namespace shoal
