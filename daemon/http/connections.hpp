// Every open connection, and the thread that watches over them: libmicrohttpd knows only a time
// since the last byte, which a client that drips bytes never reaches, and it does not look at a
// suspended connection, whose client may have left long ago.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <vector>

#include "daemon/http/options.hpp"
#include "daemon/http/reply.hpp"

namespace shoal::http {

/// Thread-safe.
class Connections {
  public:
    using Id = std::uintptr_t;  ///< libmicrohttpd keeps it for us as a pointer

    /// Starts the thread. Throws HttpError when the system gives no descriptors.
    explicit Connections(const HttpOptions& options);
    /// Joins the thread; every connection must be closed.
    ~Connections();
    Connections(const Connections&) = delete;
    Connections& operator=(const Connections&) = delete;

    Id opened(int socket);
    /// Must come before the socket is closed: until then the thread may shut it down.
    void closed(Id id);
    /// The last header came; now the body.
    void headers_came(Id id);
    /// Everything came, the answer is at hand or made by `reply` (which may be null). False: the
    /// client is gone or the server stops, so there is no use in it.
    [[nodiscard]] bool answering(Id id, std::shared_ptr<Reply> reply);
    /// The answer was sent; the connection may bring another request.
    void answered(Id id);
    /// Answer what cannot be answered through libmicrohttpd and end the connection.
    void refuse(Id id, unsigned status, const char* reason);

    /// Cancels the reply's request from the thread.
    void cancel_later(std::shared_ptr<Reply> reply);
    /// Aborts what is being answered and lets nothing new begin.
    void stop();

  private:
    using Clock = Reply::Clock;
    enum class Phase { headers, body, answer };
    struct Connection {
        int socket = -1;
        Phase phase = Phase::headers;
        Clock::time_point deadline;
        std::uint64_t bytes_before = 0;  ///< received before this request began
        bool peer_closed = false;
        bool shut_down = false;
        std::shared_ptr<Reply> reply;
    };

    void run(const std::stop_token& stop);
    void peer_closed(Id id);
    void end_overdue();
    void ask_again();
    void expire(Connection& connection);
    void wake() noexcept;

    const HttpOptions& options_;
    int epoll_ = -1;
    int event_ = -1;  ///< wakes the thread

    std::mutex mutex_;  ///< guards the next three; a Reply's mutex may be taken within it
    std::unordered_map<Id, Connection> connections_;
    Id last_id_ = 0;
    bool stopping_ = false;

    std::mutex cancel_mutex_;  ///< guards the next; taken within a Reply's mutex, nothing in it
    std::vector<std::shared_ptr<Reply>> to_cancel_;

    std::jthread thread_;
};

}  // namespace shoal::http
