// Requests of every door on their way to the root and events on their way back.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daemon/catalogue.hpp"
#include "daemon/control_loop.hpp"
#include "daemon/generation.hpp"
#include "daemon/http/service.hpp"
#include "daemon/plan_root.hpp"
#include "daemon/worker.hpp"
#include "mesh/wire/requests.hpp"

namespace shoal {

/// Implements the service. start() and cancel() may be called by any thread; all else happens on
/// the control thread.
///
/// The device that a client is attached to keeps the generation's record (request and tokens so
/// far): when the root changes, the request goes to the new root and goes on after what was
/// shown. Tokens are numbered per request; repeats are dropped.
class RequestRouter final : public http::Service {
  public:
    struct Links {
        mesh::DeviceId self;
        /// An encoded request or event to another device; false when it cannot be sent now.
        std::function<bool(const mesh::DeviceId&, const mesh::wire::RequestFrame&)> send_request;
        std::function<bool(const mesh::DeviceId&, const mesh::wire::EventFrame&)> send_event;
        /// Every model that some device holds.
        std::function<mesh::wire::ModelsReply()> models;
        /// Some device is still looking through its folders.
        std::function<bool()> reading_models;
        std::function<mesh::wire::StatusReply()> status;
        /// Makes the root's status this device's: who is "self", and its own round trips.
        std::function<void(mesh::wire::StatusReply&)> localise;
        std::function<void()> catalogue_changed;
        /// Gets a model's description and vocabulary, from another device if need be.
        std::function<void(const KnownModel&,
                           std::function<void(std::shared_ptr<const OpenModel>, std::string)>)>
            vocabulary;
    };

    /// How long a request waits for a root, and a model's name for a device that holds it:
    /// elections take about a second, a new file's announcement travels with the next heartbeat.
    struct Patience {
        std::chrono::milliseconds root{30'000};
        std::chrono::milliseconds model{5'000};
    };
    /// Requests that may wait for a model that no device is known to hold.
    static constexpr std::size_t kMaxUnresolved = 256;

    RequestRouter(ControlLoop& loop, Worker& worker, Catalogue& catalogue, PlanRoot& root,
                  std::string default_model, Links links, Patience patience);
    RequestRouter(ControlLoop& loop, Worker& worker, Catalogue& catalogue, PlanRoot& root,
                  std::string default_model, Links links)
        : RequestRouter(loop, worker, catalogue, root, std::move(default_model), std::move(links),
                        Patience()) {}

    Ticket start(mesh::wire::Request request, mesh::wire::Door door, Sink sink) override;
    void cancel(Ticket ticket) noexcept override;

    /// From here on: the control thread.
    void on_root_changed(const std::optional<mesh::DeviceId>& root);
    void on_member_lost(const mesh::DeviceId& device);
    void on_request(const mesh::DeviceId& from, mesh::wire::RequestFrame frame);
    void on_event(const mesh::DeviceId& from, const mesh::wire::EventFrame& frame);
    void on_job_event(JobId job, const mesh::wire::Event& event);
    void tick();

  private:
    using Time = ControlLoop::Clock::time_point;

    // A request of a client of this device.
    struct Attached {
        mesh::wire::Request request;
        Sink sink;
        std::optional<mesh::DeviceId> at;  // where it runs; nothing: it waits for a root
        Time waiting_since;
        bool reading = false;  // its model's file is being read
        bool cancelled = false;
        std::optional<Time> first_token;
        bool moved = false;  // goes on at another root than it began at
    };
    // Where the events of a request that runs here go.
    struct Origin {
        mesh::DeviceId device;
        std::uint64_t id = 0;
        bool operator==(const Origin&) const = default;
    };
    // A request for a model that no device is known to hold, yet.
    struct Unresolved {
        Origin origin;
        mesh::wire::Request request;
        Time since;
    };

    void begin(Ticket ticket, mesh::wire::Request request, mesh::wire::Door door, Sink sink);
    void take_path(Ticket ticket);
    void route(Ticket ticket);
    void deliver(Ticket ticket, const mesh::wire::Event& event);
    void give_up(Ticket ticket, mesh::wire::ErrorCode code, std::string message);

    void run_here(const Origin& origin, mesh::wire::Request request);
    void run_job(const Origin& origin, mesh::wire::Request request, const KnownModel& model);
    void run_tokenizer(const Origin& origin, mesh::wire::Request request, const KnownModel& model);
    void tokenize_on_worker(const Origin& origin, mesh::wire::Request request);
    void cancel_here(const Origin& origin);
    void forget(const Origin& origin);
    void wait_again(Attached& attached);
    void reply(const Origin& origin, const mesh::wire::Event& event);
    std::optional<KnownModel> resolve(const std::string& name, std::string& why) const;

    ControlLoop& loop_;
    Worker& worker_;
    Catalogue& catalogue_;
    PlanRoot& plan_root_;
    const std::string default_model_;
    const Links links_;
    const Patience patience_;

    std::atomic<Ticket> next_ticket_{1};
    std::optional<mesh::DeviceId> root_;
    std::map<Ticket, Attached> attached_;
    std::map<JobId, Origin> jobs_;
    std::vector<Unresolved> unresolved_;
    JobId next_job_ = 1;
    std::shared_ptr<const OpenModel> vocabulary_;  // the last one used
};

}  // namespace shoal
