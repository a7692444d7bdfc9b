// This device's part in the plan that the root offers: get the model, load the slice, start.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "daemon/engine.hpp"
#include "daemon/model_provider.hpp"
#include "mesh/wire/plan.hpp"

namespace shoal {

/// Owned by the control thread. The root is a member of its plan as well.
class PlanMember {
  public:
    struct Links {
        mesh::DeviceId self;
        std::function<void(const mesh::DeviceId& to, const mesh::wire::PlanMessage&)> send;
        /// A device's address as seen from here; empty when it is not known.
        std::function<std::string(const mesh::DeviceId&)> address;
    };

    PlanMember(ModelProvider& models, Engine& engine, Links links);

    /// `term` is ours: an offer of another one is out of date, or ours is.
    void on_offer(const mesh::DeviceId& from, mesh::wire::PlanOffer offer, mesh::Term term);
    void on_start(const mesh::DeviceId& from, const mesh::wire::PlanStart& start);
    void on_end(const mesh::DeviceId& from, const mesh::wire::PlanEnd& end);
    /// The root is gone: what it planned is over.
    void abandon();

    void on_loading(mesh::PlanId plan, std::uint64_t done, std::uint64_t total);
    void on_loaded(mesh::PlanId plan, const HeldBytes& held);
    void on_ended(mesh::PlanId plan, const std::string& error);

    /// The plan that this device takes part in, if any.
    const std::optional<mesh::wire::PlanOffer>& offer() const noexcept { return offer_; }
    const HeldBytes& held() const noexcept { return held_; }

  private:
    void get_model();
    void load(std::shared_ptr<const OpenModel> model);
    void report_progress(const char* what, std::uint64_t done, std::uint64_t total);
    void refuse(const std::string& error);
    std::uint32_t rank() const;

    ModelProvider& models_;
    Engine& engine_;
    const Links links_;
    std::optional<mesh::wire::PlanOffer> offer_;
    mesh::DeviceId root_;
    HeldBytes held_;
    std::uint64_t reported_percent_ = 0;
};

/// What is wrong with an offer for this model, or nothing: every range within the model, every
/// head, column and row dealt out once, KV heads exactly those that the query heads read, FFN cuts
/// on multiples of `ffn_step` (shard::ffn_cut_step).
std::optional<std::string> check_offer(const mesh::wire::PlanOffer& offer,
                                       const model::Hparams& hparams, std::uint32_t ffn_step);

/// The slice of a device of an offer, and back.
shard::Slice slice_of(const mesh::wire::PlanDevice& device) noexcept;
void set_slice(mesh::wire::PlanDevice& device, const shard::Slice& slice) noexcept;

}  // namespace shoal
