// The life of the plan that a root has made: what became of it so far. Pure; time is a parameter.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "daemon/engine/engine.hpp"
#include "daemon/loop/loop.hpp"
#include "daemon/plan/job_queue.hpp"
#include "mesh/messages/plan.hpp"
#include "mesh/messages/requests.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// What a device of the plan reported.
struct PlanDeviceState {
    bool loaded = false;
    std::uint64_t done = 0, total = 0;  ///< of fetching or loading
    std::string what;
    HeldBytes held;
    Loop::Time heard;  ///< its latest report
};

/// One plan.
///
///        open          offer         last on_loaded         on_started
///   none ----> opening -----> loading ------------> starting ----------> running
///    ^            |              |                   |    ^                |  | park
///    |            |              |                   | start_again         |  v
///    |            |              |                   |    +-- parked <---- | parking
///    |            |              |                   |          |  on_parked  |
///    +--- end ----+--------------+-------------------+----------+----------+--+
///
/// What devices say of another plan, or when it is too late, changes nothing.
class PlanLife {
  public:
    using Time = Loop::Time;
    enum class State { none, opening, loading, starting, running, parking, parked };

    State state() const noexcept { return state_; }
    /// Its devices know of it.
    bool offered() const noexcept { return state_ >= State::loading; }
    /// From opening on.
    const KnownModel& model() const noexcept { return model_; }
    /// From loading on; empty before.
    const mesh::messages::PlanOffer& offer() const noexcept { return offer_; }
    const std::map<mesh::DeviceId, PlanDeviceState>& devices() const noexcept { return devices_; }
    /// Whom the offer was made for: its devices, and those that have no part in it for lack of
    /// memory.
    const std::set<mesh::DeviceId>& made_for() const noexcept { return made_for_; }
    LoadingTime loading() const noexcept { return {begun_, running_}; }
    /// When somebody last wanted something of its model.
    Time used() const noexcept { return used_; }
    void use(Time now) noexcept { used_ = now; }

    bool takes_part(const mesh::DeviceId& id) const noexcept { return devices_.contains(id); }
    /// A device speaks of this plan, and has a part in it.
    bool concerns(const mesh::messages::PlanRef& plan, const mesh::DeviceId& from) const noexcept {
        return offered() && plan == offer_.plan && takes_part(from);
    }

    /// The model's description is looked for.
    void open(const KnownModel& model, Time now);
    /// Its devices are asked to load.
    void offer(mesh::messages::PlanOffer offer, std::set<mesh::DeviceId> made_for, Time now);
    /// True when it changes what progress() says.
    bool on_progress(const mesh::DeviceId& from, const mesh::messages::PlanProgress& progress,
                     Time now);
    /// True when all have loaded, and are to start.
    bool on_loaded(const mesh::DeviceId& from, const mesh::messages::PlanLoaded& loaded);
    /// All devices do, once they have loaded.
    bool keeps_blocks() const noexcept;
    /// By this device's engine. True: it takes jobs now.
    bool on_started(const mesh::PlanId& plan, Time now);
    /// Its engines are to stop between two steps. Requires: it runs.
    void park() noexcept;
    /// By this device's engine. True: it takes none any more, until it is started again.
    bool on_parked(const mesh::PlanId& plan) noexcept;
    /// Requires: it is parked.
    void start_again(Time now) noexcept;
    void end();

    /// Of all devices together, for people.
    mesh::messages::Progress progress() const;
    /// One that loads, and has said nothing new since then.
    std::optional<mesh::DeviceId> stuck(Time since) const;

  private:
    State state_ = State::none;
    KnownModel model_;
    mesh::messages::PlanOffer offer_;
    std::map<mesh::DeviceId, PlanDeviceState> devices_;
    std::set<mesh::DeviceId> made_for_;
    Time begun_, running_, used_;
};

}  // namespace shoal
