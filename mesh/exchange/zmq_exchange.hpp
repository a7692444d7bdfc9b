// Exchange over ZeroMQ publish/subscribe. DataPlane::join makes it.
//
// A frame is named by its sender and the number of the collective it belongs to, and every device
// counts collectives alike, so a receiver always knows which frames it lacks: no stream numbers,
// and nothing to be agreed on after a connection was cut. PROTOCOL-data.md has the rules.
#pragma once

#include <poll.h>

#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "mesh/exchange/data_plane.hpp"
#include "mesh/exchange/exchange.hpp"
#include "mesh/exchange/frame.hpp"
#include "mesh/exchange/link.hpp"
#include "mesh/exchange/publisher.hpp"
#include "mesh/exchange/send_ring.hpp"

namespace shoal::mesh::exchange {

/// A descriptor that becomes readable when a stop is requested, so that poll() ends at once.
class StopEvent {
  public:
    /// Throws std::system_error when the process has no descriptor left.
    explicit StopEvent(std::stop_token stop);
    ~StopEvent();
    StopEvent(const StopEvent&) = delete;
    StopEvent& operator=(const StopEvent&) = delete;

    bool requested() const noexcept { return stop_.stop_requested(); }
    int descriptor() const noexcept { return descriptor_; }

  private:
    struct Signal {
        int descriptor;
        void operator()() const noexcept;
    };
    std::stop_token stop_;
    int descriptor_;
    std::optional<std::stop_callback<Signal>> callback_;
};

/// Owned by the thread that made it; asserted.
class ZmqExchange final : public Exchange {
  public:
    /// `links`: one per peer, in rank order, connected and subscribed.
    ZmqExchange(Publisher& publisher, const PlanId& plan, std::uint32_t rank,
                std::vector<Link> links, const JoinOptions& options, std::stop_token stop);
    ~ZmqExchange() override;

    /// Waits until every peer subscribed to us and said hello. Called once, before all others.
    ExchangeStatus start(const DeviceId& self, std::chrono::milliseconds timeout);

    std::uint32_t rank() const noexcept override { return rank_; }
    std::uint32_t size() const noexcept override {
        return static_cast<std::uint32_t>(links_.size() + 1);
    }
    ExchangeStatus all_gather(std::span<const std::byte> mine,
                              std::vector<std::span<const std::byte>>& theirs) override;
    ExchangeStatus broadcast(std::uint32_t root, std::span<const std::byte> payload,
                             std::span<const std::byte>& received) override;
    ExchangeStatus gather(std::uint32_t root, std::span<const std::byte> mine,
                          std::vector<std::span<const std::byte>>& theirs) override;
    std::string failure() const override { return failure_; }

  private:
    using Clock = Link::Clock;

    /// What a blocked call needs to go on.
    struct Wait {
        enum class Goal : std::uint8_t {
            frames,  ///< the frame of this collective from `from`
            room,    ///< acknowledgements, so that a frame may be forgotten
            queue,   ///< room in libzmq's queue for `message`
        } goal = Goal::frames;
        std::uint32_t from = kEveryone;
        bool limited = true;  ///< silence is a failure
        zmq::message_t* message = nullptr;
    };

    ExchangeStatus begin();
    ExchangeStatus send(std::uint32_t to, std::span<const std::byte> payload);
    ExchangeStatus receive(std::uint32_t from, bool limited);
    void acknowledge(Link& link);
    void fill(std::vector<std::span<const std::byte>>& theirs) const;
    std::span<const std::byte> frame_of(const Link& link) const noexcept;

    ExchangeStatus wait(const Wait& what);
    bool blocks(const Wait& what, const Link& link) const noexcept;
    bool reached(const Wait& what);
    bool read(const Wait& what);
    void read_link(Link& link, const Wait* until);
    ExchangeStatus check(const Wait& what, Clock::time_point start);
    ExchangeStatus await_subscribers(Clock::time_point deadline);
    std::string missing_subscribers() const;
    Clock::time_point next_deadline(const Wait& what, Clock::time_point start) const;
    void poll(Clock::duration timeout);

    void take(Link& link, zmq::message_t& message);
    void ask(const Wait& what, Link& link);
    void on_nack(Link& link, const FrameHeader& header);
    void on_subscriptions();
    void resend(Link& link, const SendRing::Sent& sent);
    void control(FrameKind kind, std::uint32_t to, std::uint64_t op, std::uint8_t flags = 0);
    ExchangeStatus fail(ExchangeStatus status, std::string why);
    std::string name(const Link& link) const;

    Publisher& publisher_;
    const PlanId plan_;
    const std::uint32_t rank_;
    std::vector<Link> links_;
    const std::chrono::microseconds spin_;
    std::chrono::milliseconds silence_limit_;
    StopEvent stop_;

    std::uint64_t op_ = 0;  ///< the current or last collective
    SendRing ring_;
    const SendRing::Sent* mine_ = nullptr;  ///< our own frame of the current collective
    std::vector<std::byte> kept_mine_;      ///< our part where it is not sent
    ExchangeStatus failed_ = ExchangeStatus::ok;
    std::string failure_;

    std::vector<pollfd> descriptors_;  ///< stop, publisher, then links_
    bool publisher_dirty_ = true;      ///< the publisher's descriptor may have missed something
    std::vector<Publisher::Change> changes_;
    zmq::message_t incoming_;
    Clock::time_point now_ = Clock::now();  ///< read once per call and per wake-up
    const std::thread::id owner_ = std::this_thread::get_id();
};

}  // namespace shoal::mesh::exchange
