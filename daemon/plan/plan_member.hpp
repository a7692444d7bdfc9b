// This device's part in the plans that the root offers: get the model, load the slice, start.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "daemon/engine/engine.hpp"
#include "daemon/loop/loop.hpp"
#include "daemon/pieces/models.hpp"
#include "mesh/messages/plan.hpp"

namespace shoal {

/// Owned by the control thread. The root is a member of its plans as well. One is loaded or at
/// work; others, whose slices the engine holds, are parked.
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

    /// Of plans whose slices this device holds at the same time; one more is refused.
    static constexpr std::size_t kMaxPlans = 64;

    /// The plan that this device loads or works for, or did last; null: none.
    const mesh::messages::PlanOffer* offer() const noexcept {
        return parts_.empty() ? nullptr : &parts_.back().offer;
    }
    /// A slice is being fetched or loaded.
    bool loading() const noexcept { return !parts_.empty() && !parts_.back().loaded; }
    /// Models whose slices it holds, or is about to; the one of that plan is the last.
    std::vector<mesh::ModelHash> models() const;
    /// The model of that plan, when this device could do more of it if it had the file.
    std::optional<KnownModel> wanted_file() const;

  private:
    struct Part {
        mesh::messages::PlanOffer offer;
        bool loaded = false;    // what the offer says
        std::string warning{};  // of its vocabulary
    };

    void get_model();
    void load(std::shared_ptr<const OpenModel> model);
    void report_waiting();
    void report_progress(const char* what, std::uint64_t done, std::uint64_t total);
    void refuse(const mesh::messages::PlanRef& plan, const PlanOutcome& outcome);
    void drop(std::vector<Part>::iterator part);
    std::vector<Part>::iterator find(const mesh::PlanId& plan);
    bool loads(const mesh::PlanId& plan) const noexcept {
        return loading() && parts_.back().offer.plan.id() == plan;
    }
    std::uint32_t rank_in(const mesh::messages::PlanOffer& offer) const;

    Loop& loop_;
    Models& models_;
    Engine& engine_;
    const Links links_;
    std::vector<Part> parts_;  // the one that was offered or started last is the last
    mesh::DeviceId root_;      // of them all
    std::uint64_t reported_percent_ = 0;
    Loop::Time reported_at_;
};

}  // namespace shoal
