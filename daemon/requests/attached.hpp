// The client's side: the requests of this device's clients, each from its start to its one final
// event, whichever devices lead meanwhile.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "daemon/loop/loop.hpp"
#include "daemon/requests/desk.hpp"
#include "daemon/requests/request_meter.hpp"
#include "daemon/requests/request_ports.hpp"
#include "daemon/requests/service.hpp"

namespace shoal {

/// start() and cancel() may be called by any thread; all else by the control thread.
///
/// The record of a generation is its request and the tokens so far: when the root changes, it goes
/// to the new one, which goes on after what was shown. Each time that it is sent is another
/// attempt, and only events of the latest count: a root may be elected again while the end of what
/// it was asked before is still on its way. Tokens are numbered, those of a prompt, too; number n
/// is shown when n-1 was.
class Attached {
  public:
    /// A request is given up when so many devices that led were lost, one after another, before it
    /// got a token: it may be what ends them. Some get lost for other reasons, so these are more
    /// than the plans that a root lets fail (JobQueue::kMaxStrikes).
    static constexpr std::uint32_t kMaxLostRoots = 8;

    using Ticket = http::Service::Ticket;
    using Sink = http::Service::Sink;

    /// `desk` is this device's, for when it leads.
    Attached(Loop& loop, RequestPorts& ports, Desk& desk, const RequestPatience& patience)
        : loop_(loop), ports_(ports), desk_(desk), patience_(patience) {}

    /// As in http::Service.
    Ticket start(mesh::messages::Request request, mesh::messages::Door door, Sink sink);
    void cancel(Ticket ticket) noexcept;

    void on_event(const mesh::DeviceId& from, const mesh::messages::EventFrame& frame);
    /// What this device's desk says.
    void deliver(Ticket ticket, const mesh::messages::Event& event);
    void on_root_changed(const std::optional<mesh::DeviceId>& root);
    void on_member_lost(const mesh::DeviceId& device);
    /// Requests that are not over.
    std::size_t pending() const noexcept { return records_.size(); }
    /// Of requests for text. Thread-safe.
    RequestMeter::Reading figures() const { return meter_.read(); }

  private:
    //  begin --> reading --> waiting <--> asked --> over
    //     |         |           |                    ^
    //     +-> here -+-----------+--------------------+
    //     +-> measuring, administering --------------+
    enum class Stage : std::uint8_t {
        reading,        // its model's file is taken in, or looked for in this device's folders
        waiting,        // for a root, or for room on the way to it
        asked,          // the root has it
        here,           // this device answers it, whoever leads
        measuring,      // this device measures itself
        administering,  // this device sees to it who is in the cluster
    };
    struct Record {
        mesh::messages::Request request;  // a generation's with the tokens so far
        Sink sink;
        Stage stage = Stage::reading;
        Loop::Time waiting_since{};
        // reading: looks no longer; waiting: asks; asked: says what found no room, that it is
        // cancelled
        Timer again{};
        std::uint64_t attempt = 0;  // the latest
        std::uint32_t lost_roots = 0;
        bool cancelled = false;
        std::optional<Loop::Time> first_token{};
        std::size_t prompt_shown = 0;                  // tokens of the prompt
        bool moved = false;                            // goes on at another root than it began at
        std::optional<RequestMeter::Course> course{};  // of a request for text
    };

    void begin(Ticket ticket, mesh::messages::Request request, mesh::messages::Door door,
               Sink sink);
    void measure(Ticket ticket, const mesh::messages::BenchRequest& request, Sink sink);
    void administer(Ticket ticket, mesh::messages::Request request, Sink sink);
    void read(Ticket ticket);
    void look_for(Ticket ticket);
    void found(Ticket ticket);
    void place(Ticket ticket);
    void ask(Ticket ticket);
    void wait(Ticket ticket, Loop::Time until);
    void wait_anew(Record& record);
    void withdraw(Ticket ticket);
    void show_prompt(Record& record, const mesh::messages::PromptTokens& tokens);
    mesh::messages::StatusReply seen_from_here(mesh::messages::StatusReply status) const;
    void give_up(Ticket ticket, mesh::messages::ErrorCode code, std::string message);

    Loop& loop_;
    RequestPorts& ports_;
    Desk& desk_;
    const RequestPatience patience_;
    std::atomic<Ticket> next_ticket_{1};
    std::optional<mesh::DeviceId> root_;  // whom all are asked of that are asked
    std::map<Ticket, Record> records_;
    RequestMeter meter_;
};

}  // namespace shoal
