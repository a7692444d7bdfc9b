// This device's part in the plan that the root offers: get the model, load the slice, start.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "daemon/engine/engine.hpp"
#include "daemon/loop/loop.hpp"
#include "daemon/pieces/models.hpp"
#include "mesh/messages/plan.hpp"

namespace shoal {

/// Owned by the control thread. The root is a member of its plan as well.
class PlanMember {
  public:
    struct Links {
        mesh::DeviceId self;
        std::function<void(const mesh::DeviceId& to, const mesh::messages::PlanMessage&)> send;
        /// A device's address as seen from here; empty when it is not known.
        std::function<std::string(const mesh::DeviceId&)> address;
        /// What a user should know of the vocabulary that the plan's prompts are read with; empty:
        /// nothing.
        std::function<void(const std::string&)> vocabulary_warning = [](const std::string&) {};
    };

    PlanMember(Loop& loop, Models& models, Engine& engine, Links links);

    /// `term` is ours: an offer of another one is out of date, or ours is.
    void on_offer(const mesh::DeviceId& from, mesh::messages::PlanOffer offer, mesh::Term term);
    void on_start(const mesh::DeviceId& from, const mesh::messages::PlanStart& start);
    void on_end(const mesh::DeviceId& from, const mesh::messages::PlanEnd& end);
    /// The root is gone: what it planned is over.
    void abandon();

    void on_loading(mesh::PlanId plan, std::uint64_t done, std::uint64_t total);
    void on_loaded(mesh::PlanId plan, const HeldBytes& held);
    void on_ended(mesh::PlanId plan, const PlanOutcome& outcome);

    /// The plan that this device takes part in, if any.
    const std::optional<mesh::messages::PlanOffer>& offer() const noexcept { return offer_; }
    const HeldBytes& held() const noexcept { return held_; }
    /// A slice is being fetched or loaded.
    bool loading() const noexcept { return offer_ && !loaded_; }
    /// The plan's model, when this device could do more of it if it had the file.
    std::optional<KnownModel> wanted_file() const;

  private:
    void get_model();
    void load(std::shared_ptr<const OpenModel> model);
    void report_waiting();
    void report_progress(const char* what, std::uint64_t done, std::uint64_t total);
    void refuse(const PlanOutcome& outcome);
    std::uint32_t rank() const;

    Loop& loop_;
    Models& models_;
    Engine& engine_;
    const Links links_;
    std::optional<mesh::messages::PlanOffer> offer_;
    mesh::DeviceId root_;
    HeldBytes held_;
    bool loaded_ = false;  // what the offer says
    std::uint64_t reported_percent_ = 0;
    Loop::Time reported_at_;
};

}  // namespace shoal
