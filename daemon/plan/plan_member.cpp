#include "daemon/plan/plan_member.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "daemon/log/log.hpp"
#include "daemon/plan/offer.hpp"

namespace shoal {

using mesh::messages::Fault;
using mesh::messages::PlanDevice;
using mesh::messages::PlanEnd;
using mesh::messages::PlanLoaded;
using mesh::messages::PlanOffer;
using mesh::messages::PlanProgress;
using mesh::messages::PlanRef;
using mesh::messages::PlanStart;

namespace {

constexpr std::uint64_t kNoPercent = 101;

// A percent of a large slice takes long on a slow network, and who says nothing seems to be stuck.
constexpr std::chrono::seconds kReportEvery{3};

}  // namespace

PlanMember::PlanMember(Loop& loop, Models& models, Engine& engine, Links links)
    : loop_(loop), models_(models), engine_(engine), links_(std::move(links)) {}

std::uint32_t PlanMember::rank_in(const PlanOffer& offer) const {
    const auto it = std::ranges::find(offer.devices, links_.self.bytes, &PlanDevice::id);
    return static_cast<std::uint32_t>(it - offer.devices.begin());
}

std::vector<PlanMember::Part>::iterator PlanMember::find(const mesh::PlanId& plan) {
    return std::ranges::find_if(parts_,
                                [&](const Part& part) { return part.offer.plan.id() == plan; });
}

std::vector<mesh::ModelHash> PlanMember::models() const {
    std::vector<mesh::ModelHash> out;
    for (const Part& part : parts_) out.push_back({part.offer.model});
    return out;
}

std::optional<KnownModel> PlanMember::wanted_file() const {
    const PlanOffer* const o = offer();
    if (o == nullptr || !o->devices[rank_in(*o)].wants_file) return std::nullopt;
    return KnownModel{{o->model}, o->model_name, o->file_bytes};
}

void PlanMember::on_offer(const mesh::DeviceId& from, PlanOffer offer, mesh::Term term) {
    if (const auto wrong = check_sender(offer, from, links_.self, term)) {
        links_.send(from, PlanEnd{offer.plan, *wrong, Fault::none, {}});
        return;
    }
    if (!parts_.empty() && parts_.back().offer.plan.id().term != offer.plan.id().term) abandon();
    // Whoever offers knows of no other plan that is being loaded.
    if (loading()) drop(parts_.end() - 1);
    if (parts_.size() >= kMaxPlans) {
        links_.send(from, PlanEnd{offer.plan, "it holds too many models", Fault::none, {}});
        return;
    }
    parts_.push_back({std::move(offer)});
    root_ = from;
    reported_percent_ = kNoPercent;
    get_model();
}

void PlanMember::get_model() {
    const PlanOffer& offer = parts_.back().offer;
    const std::uint32_t rank = rank_in(offer);
    Models::Want want;
    want.owner = this;
    want.model = {{offer.model}, offer.model_name, offer.file_bytes};
    want.tokenizer = rank == 0;
    const shard::Slice slice = slice_of(offer.devices[rank].slice);
    want.pieces = [offer, slice, root = rank == 0](const OpenModel& described) {
        const model::GgufHeader& header = described.source->header();
        const std::uint32_t ffn_step = shard::ffn_cut_step(header, described.hparams);
        if (const auto wrong = check_offer(offer, described.hparams, ffn_step)) {
            throw model::ModelError("the plan does not fit the model: " + *wrong);
        }
        auto pieces = shard::slice_pieces(header, described.hparams, slice);
        if (root) pieces.push_back(model::whole(header.tensor(model::tensor_name::kEmbedding)));
        return pieces;
    };
    want.progress = [this](std::uint64_t done, std::uint64_t total) {
        total == 0 ? report_waiting() : report_progress("fetching", done, total);
    };
    want.done = [this, plan = offer.plan](std::shared_ptr<const OpenModel> model,
                                          const std::string& error) {
        if (!loads(plan.id())) return;
        if (!model) return refuse(plan, {error, Fault::own, {}});
        load(std::move(model));
    };
    models_.get(std::move(want));
}

void PlanMember::load(std::shared_ptr<const OpenModel> model) {
    const PlanOffer& offer = parts_.back().offer;
    const std::uint32_t ffn_step = shard::ffn_cut_step(model->source->header(), model->hparams);
    if (const auto wrong = check_offer(offer, model->hparams, ffn_step)) {
        return refuse(offer.plan, {"the plan does not fit the model: " + *wrong, Fault::own, {}});
    }
    if (model->tokenizer) parts_.back().warning = model->tokenizer->warning();
    links_.vocabulary_warning(parts_.back().warning);
    PlanSpec spec;
    spec.id = offer.plan.id();
    spec.rank = rank_in(offer);
    spec.options = executor_options(offer);
    spec.whole_bytes = offer.devices[spec.rank].whole_bytes;
    spec.model = std::move(model);
    for (const PlanDevice& device : offer.devices) {
        spec.slices.push_back(slice_of(device.slice));
        const mesh::DeviceId id{device.id};
        const std::string host = id == links_.self ? "self" : links_.address(id);
        if (host.empty()) {
            return refuse(
                offer.plan,
                {"there is no connection to " + id.hex().substr(0, 8), Fault::peers, {id}});
        }
        spec.peers.push_back({id, device.public_key, with_host(device.endpoint, host)});
    }
    engine_.load(std::move(spec));
}

void PlanMember::on_start(const mesh::DeviceId& from, const PlanStart& start) {
    if (from != root_) return;
    const auto part = find(start.plan.id());
    if (part == parts_.end()) {
        links_.send(from, PlanEnd{start.plan, "it does not hold this plan", Fault::none, {}});
        return;
    }
    if (!part->loaded) return;
    std::rotate(part, part + 1, parts_.end());
    links_.vocabulary_warning(parts_.back().warning);
    engine_.start(start.plan.id(), start.run == 0 ? start.plan.number : start.run,
                  start.keeps_blocks);
}

void PlanMember::on_end(const mesh::DeviceId& from, const PlanEnd& end) {
    const auto part = find(end.plan.id());
    if (part != parts_.end() && from == root_) drop(part);
}

void PlanMember::abandon() {
    while (!parts_.empty()) drop(parts_.end() - 1);
}

void PlanMember::drop(std::vector<Part>::iterator part) {
    if (!part->loaded) models_.cancel(this);
    if (part + 1 == parts_.end()) links_.vocabulary_warning("");
    engine_.end(part->offer.plan.id());
    parts_.erase(part);
}

void PlanMember::report_progress(const char* what, std::uint64_t done, std::uint64_t total) {
    const std::uint64_t percent = total == 0 ? 0 : done * 100 / total;
    const auto now = loop_.now();
    if (!loading() || (percent == reported_percent_ && now - reported_at_ < kReportEvery)) return;
    reported_percent_ = percent;
    reported_at_ = now;
    links_.send(root_, PlanProgress{offer()->plan, what, done, total});
}

void PlanMember::report_waiting() {
    if (!loading()) return;
    reported_percent_ = kNoPercent;
    links_.send(root_, PlanProgress{offer()->plan, waiting_for_file(offer()->model_name), 0, 0});
}

void PlanMember::on_loading(mesh::PlanId plan, std::uint64_t done, std::uint64_t total) {
    if (loads(plan)) report_progress("loading", done, total);
}

void PlanMember::on_loaded(mesh::PlanId plan, const HeldBytes& held) {
    if (!loads(plan)) return;
    parts_.back().loaded = true;
    links_.send(root_, PlanLoaded{offer()->plan, held.weights, held.planned_weights, held.kv_cache,
                                  held.buffers, held.keeps_blocks});
}

void PlanMember::on_ended(mesh::PlanId plan, const PlanOutcome& outcome) {
    if (const auto part = find(plan); part != parts_.end()) refuse(part->offer.plan, outcome);
}

// The engine has left it, or never had it.
void PlanMember::refuse(const PlanRef& plan, const PlanOutcome& outcome) {
    PlanEnd end{plan, outcome.error.substr(0, mesh::messages::kMaxText), outcome.fault, {}};
    for (const mesh::DeviceId& id : outcome.missing) end.peers.push_back(id.bytes);
    if (!outcome.error.empty()) log::warn("plan {}: {}", end.plan.number, outcome.error);
    parts_.erase(find(end.plan.id()));
    links_.send(root_, end);
}

}  // namespace shoal
