// The connection to the daemon of this device.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cli/output.hpp"
#include "cli/signals.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal::cli {

/// A client of the control socket. Every wait ends: with an event, by a signal, or by an Error
/// when the daemon goes away or stays silent. Owned by one thread.
class Client {
  public:
    /// `patience`: a daemon that is silent for this long, even when asked for its status, counts
    /// as gone. Throws Error(kUnreachable) with what to do when no daemon listens on `socket`.
    Client(const std::string& socket, std::chrono::milliseconds patience, Signals& signals,
           Output& output);
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    /// How a request ended.
    struct Outcome {
        std::optional<mesh::messages::Event> final;  ///< nothing when it was given up
        int signal = 0;                              ///< the user's wish to stop
        bool output_closed = false;
    };

    /// Throws Error (kUsage) when the request is invalid, without asking the daemon.
    static void check(const mesh::messages::Request& request);
    /// Sends the request and hands its events, but for the final one, to `on_event` as they come.
    /// A signal or a reader of standard output that has gone cancels the request; then the final
    /// event is waited for briefly. Throws Error when the request is invalid (kUsage), the daemon
    /// is lost (kUnreachable) or answers nonsense (kFailed).
    Outcome ask(const mesh::messages::Request& request,
                const std::function<void(const mesh::messages::Event&)>& on_event);

  private:
    struct Sockets;
    enum class Wake { event, signal, output_closed, timeout };

    std::uint64_t send(const mesh::messages::Request& request);
    void follow(std::uint64_t id, const std::function<void(const mesh::messages::Event&)>& on_event,
                Outcome& outcome);
    Wake sleep(std::chrono::steady_clock::duration pause);
    Wake wait(std::chrono::steady_clock::time_point until, mesh::messages::EventFrame& frame);
    bool receive(mesh::messages::EventFrame& frame);
    bool disconnected();
    void probe();

    std::string socket_;
    std::chrono::milliseconds patience_;
    Signals& signals_;
    Output& output_;
    std::unique_ptr<Sockets> sockets_;
    std::uint64_t next_id_ = 1;
    std::chrono::steady_clock::time_point last_heard_;
    std::optional<std::uint64_t> probe_id_;
};

}  // namespace shoal::cli
