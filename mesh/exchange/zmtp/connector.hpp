// Makes the data plane's connections: listens, calls, shakes hands, and gives up who takes too
// long. On a thread of its own, which sleeps in between, so that neither strangers nor the
// arithmetic of a handshake cost the thread that computes anything.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "mesh/exchange/event.hpp"
#include "mesh/exchange/zmtp/connection.hpp"
#include "mesh/exchange/zmtp/handshake.hpp"
#include "mesh/exchange/zmtp/socket.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal::mesh::exchange::zmtp {

/// Connections to us that are being made at one time, of strangers mostly, and those that wait for
/// a plan.
inline constexpr std::size_t kMaxHandshakes = 256, kMaxWaiting = 1024;
/// While so many are being made, one that takes longer than this gives its place to the next.
inline constexpr std::chrono::milliseconds kPressed{250};

/// Thread-safe but for construction and destruction.
class Connector {
  public:
    /// Listens from here on. `security` outlives it; nullptr: without encryption.
    /// Throws std::runtime_error with the address when nobody can listen there.
    Connector(const std::string& host, std::uint16_t port, const ZmqContext* security);
    ~Connector();
    Connector(const Connector&) = delete;
    Connector& operator=(const Connector&) = delete;

    std::uint16_t port() const noexcept { return port_; }

    /// Calls the publisher there until there is a connection, again and again.
    /// Throws std::invalid_argument when the endpoint is none.
    void call(std::uint32_t rank, const std::string& endpoint, const PublicKey& key);
    /// The same once more, since the connection ended. Requires: call() since stop_calling().
    void call_again(std::uint32_t rank);
    /// Calls nobody any more, and drops the connections made by calling that nobody took, and those
    /// that are being made.
    void stop_calling();
    /// Why calling `rank` failed last; empty when it did not.
    std::string trouble(std::uint32_t rank) const;

    /// The connections that were made since the last call.
    std::vector<std::unique_ptr<Connection>> take();
    /// take() would return something. Costs next to nothing.
    bool has_some() const noexcept { return has_some_.load(std::memory_order_acquire); }
    /// Readable while has_some(), for poll().
    int descriptor() const noexcept { return news_.descriptor(); }

    /// A subscriber for whom there may be use later. Until then it is watched for its end.
    void keep(std::unique_ptr<Connection> connection);
    /// Ends a connection. It is closed by the thread that accepts others, so that what a listener's
    /// limits know of its descriptor stays true.
    void close(std::unique_ptr<Connection> connection);

  private:
    using Clock = std::chrono::steady_clock;
    struct Target {
        std::string endpoint;
        PublicKey key{};
        Clock::time_point at{};  ///< when to call; max: it is being called, or connected
        std::chrono::milliseconds interval{};
        Clock::time_point connected{};
        std::string trouble;

        void call_again(Clock::time_point now, bool at_once) noexcept;
    };
    /// A connection in the making.
    struct Attempt {
        Socket socket;
        Handshake handshake;
        Clock::time_point until;
        std::optional<std::uint32_t> rank;  ///< whom we call
        bool connecting = false;
        Bytes in, out;
    };

    void run(const std::stop_token& stop);
    void wait();
    std::size_t callers() const noexcept;
    void accept_some(Clock::time_point now);
    void call_due(Clock::time_point now);
    /// False when the attempt is over, successfully or not.
    bool go_on(Attempt& attempt, bool readable);
    void established(Attempt& attempt);
    void failed(const Attempt& attempt, const std::string& why);
    void offer(std::unique_ptr<Connection> connection);
    void look_after_waiting(Clock::time_point now);

    const ZmqContext* const security_;
    const Socket listener_;
    const std::uint16_t port_;
    Event wake_;  // the thread
    Event news_;  // whoever takes

    mutable std::mutex mutex_;
    std::map<std::uint32_t, Target> targets_;
    std::vector<std::unique_ptr<Connection>> made_;
    std::vector<std::unique_ptr<Connection>> closing_;
    bool stopped_ = false;  // calling, and the attempts to call are still there
    std::atomic<bool> has_some_{false};

    // The thread's own.
    std::vector<Attempt> attempts_;
    Clock::time_point accept_at_{};  // not before
    Clock::time_point look_at_{};    // after those who wait
    std::jthread thread_;
};

}  // namespace shoal::mesh::exchange::zmtp
