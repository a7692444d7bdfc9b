// The answer to one request while the service works on it: where the service's thread, the HTTP
// thread and the watch over connections meet.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "daemon/http/exchange.hpp"
#include "daemon/http/options.hpp"
#include "daemon/requests/service.hpp"

struct MHD_Connection;

namespace shoal::http {

/// Thread-safe. A connection that waits here is suspended (parked) and stays valid until it is
/// resumed; the mutex makes sure that this happens exactly once.
class Reply : public std::enable_shared_from_this<Reply> {
  public:
    using Clock = std::chrono::steady_clock;
    /// Has the reply's service request cancelled by another thread: a sink may not do it itself.
    using CancelLater = std::function<void(std::shared_ptr<Reply>)>;

    /// Requests that are with the service at a time: more would fill the root's batch and queue, in
    /// which others want a place, too.
    static constexpr std::size_t kAtOnce = 4;

    /// `client`: whose requests these are. `service` and what `cancel_later` refers to outlive the
    /// last call of close() or abort().
    Reply(std::unique_ptr<Exchange> exchange, std::uint64_t client, const HttpOptions& options,
          Service& service, CancelLater cancel_later);

    /// HTTP thread. Starts the requests; their events come to this object.
    void start();

    enum class Step { parked, respond, drop };
    /// HTTP thread, in the request handler: parks `connection` while there is nothing to send.
    Step step(MHD_Connection* connection);
    /// Of a stream; see take_answer().
    const char* stream_type() const noexcept { return exchange_->stream_type(); }
    /// After `respond`: the whole answer, or nothing when it is to be read with read().
    std::optional<Answer> take_answer();

    enum class Read { some, parked, end, broken };
    /// HTTP thread: the next bytes of a stream; parks `connection` while there are none.
    Read read(MHD_Connection* connection, char* out, std::size_t capacity, std::size_t& size);

    /// The server stops: nothing is sent any more, the request is cancelled.
    void abort();
    /// The client closed its side. A generation that still runs is for nobody; what is at hand or
    /// soon will be is sent, as the client may still listen.
    void client_left();
    bool is_generation() const noexcept { return exchange_->generates(); }
    /// abort() for a connection that MHD has closed by itself, or that has its answer.
    void close() noexcept;
    void cancel_service() noexcept;

    /// Some time after its answer has come, the watch asks again; see Exchange::repeats().
    bool repeats() const noexcept { return exchange_->repeats() > std::chrono::milliseconds(0); }
    void ask_again(Clock::time_point now);

    /// What the watch does at `now`: nothing, or shut the connection down. Gives up waiting for a
    /// service that does not answer.
    bool overdue(Clock::time_point now);

  private:
    // A request to the service.
    struct Part {
        std::optional<Service::Ticket> ticket;
        bool over = false;  // its final event came
    };

    void start_more();
    void start_more_or_drop() noexcept;
    void on_event(std::size_t part, const mesh::messages::Event& event);
    void write_event(std::size_t part, const mesh::messages::Event& event);
    bool within_limit(const mesh::messages::Event& event);
    void end();
    bool service_done() const noexcept { return started_ == over_; }
    void cancel_rest();
    void append(std::string&& bytes);
    void fail(const ApiError& error);
    void finish();
    void unpark();

    const std::uint64_t client_;
    const HttpOptions& options_;
    Service& service_;
    const CancelLater cancel_later_;
    const Clock::time_point begun_ = Clock::now();

    std::mutex mutex_;  ///< guards all below, and the exchange where it writes
    const std::unique_ptr<Exchange> exchange_;
    MHD_Connection* parked_ = nullptr;
    std::vector<Part> parts_;
    std::size_t started_ = 0, over_ = 0;         ///< parts
    bool cancelled_ = false;                     ///< no more are started
    std::optional<Clock::time_point> again_at_;  ///< all are over; not before then
    std::size_t kept_bytes_ = 0;                 ///< that the exchange keeps
    bool closed_ = false;                        ///< no more to send, whoever wants it
    std::optional<Clock::time_point> finished_;  ///< everything to send is there
    std::string buffer_;                         ///< of a stream: bytes not sent yet
    std::size_t sent_ = 0;                       ///< bytes at the buffer's start that were sent
    bool stream_begun_ = false;
    std::optional<Answer> answer_;
};

}  // namespace shoal::http
