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

std::uint32_t PlanMember::rank() const {
    const auto& devices = offer_->devices;
    const auto it = std::find_if(devices.begin(), devices.end(),
                                 [&](const PlanDevice& d) { return d.id == links_.self.bytes; });
    return static_cast<std::uint32_t>(it - devices.begin());
}

std::optional<KnownModel> PlanMember::wanted_file() const {
    if (!offer_ || !offer_->devices[rank()].wants_file) return std::nullopt;
    return KnownModel{{offer_->model}, offer_->model_name, offer_->file_bytes};
}

void PlanMember::on_offer(const mesh::DeviceId& from, PlanOffer offer, mesh::Term term) {
    if (const auto wrong = check_sender(offer, from, links_.self, term)) {
        links_.send(from, PlanEnd{offer.plan, *wrong, Fault::none, {}});
        return;
    }
    if (offer_) engine_.end(offer_->plan.id());
    models_.cancel(this);
    offer_ = std::move(offer);
    root_ = from;
    held_ = {};
    loaded_ = false;
    reported_percent_ = kNoPercent;
    get_model();
}

void PlanMember::get_model() {
    Models::Want want;
    want.owner = this;
    want.model = {{offer_->model}, offer_->model_name, offer_->file_bytes};
    want.tokenizer = rank() == 0;
    const shard::Slice slice = slice_of(offer_->devices[rank()].slice);
    want.pieces = [offer = *offer_, slice, root = rank() == 0](const OpenModel& described) {
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
    want.done = [this, plan = offer_->plan](std::shared_ptr<const OpenModel> model,
                                            const std::string& error) {
        if (!offer_ || offer_->plan != plan) return;
        if (!model) return refuse({error, Fault::own, {}});
        load(std::move(model));
    };
    models_.get(std::move(want));
}

void PlanMember::load(std::shared_ptr<const OpenModel> model) {
    const std::uint32_t ffn_step = shard::ffn_cut_step(model->source->header(), model->hparams);
    if (const auto wrong = check_offer(*offer_, model->hparams, ffn_step)) {
        return refuse({"the plan does not fit the model: " + *wrong, Fault::own, {}});
    }
    if (model->tokenizer) {
        links_.vocabulary_warning(std::string(model->tokenizer->warning()));
    }
    PlanSpec spec;
    spec.id = offer_->plan.id();
    spec.rank = rank();
    spec.options = executor_options(*offer_);
    spec.whole_bytes = offer_->devices[spec.rank].whole_bytes;
    spec.model = std::move(model);
    for (const PlanDevice& device : offer_->devices) {
        spec.slices.push_back(slice_of(device.slice));
        const mesh::DeviceId id{device.id};
        const std::string host = id == links_.self ? "self" : links_.address(id);
        if (host.empty()) {
            return refuse(
                {"there is no connection to " + id.hex().substr(0, 8), Fault::peers, {id}});
        }
        spec.peers.push_back({id, device.public_key, with_host(device.endpoint, host)});
    }
    engine_.load(std::move(spec));
}

void PlanMember::on_start(const mesh::DeviceId& from, const PlanStart& start) {
    if (offer_ && from == root_ && start.plan == offer_->plan) engine_.start(start.plan.id());
}

void PlanMember::on_end(const mesh::DeviceId& from, const PlanEnd& end) {
    if (offer_ && from == root_ && end.plan == offer_->plan) abandon();
}

void PlanMember::abandon() {
    if (!offer_) return;
    models_.cancel(this);
    links_.vocabulary_warning("");
    engine_.end(offer_->plan.id());
    offer_.reset();
    held_ = {};
}

void PlanMember::report_progress(const char* what, std::uint64_t done, std::uint64_t total) {
    const std::uint64_t percent = total == 0 ? 0 : done * 100 / total;
    const auto now = loop_.now();
    if (!offer_ || (percent == reported_percent_ && now - reported_at_ < kReportEvery)) return;
    reported_percent_ = percent;
    reported_at_ = now;
    links_.send(root_, PlanProgress{offer_->plan, what, done, total});
}

void PlanMember::report_waiting() {
    if (!offer_) return;
    reported_percent_ = kNoPercent;
    links_.send(root_, PlanProgress{offer_->plan, waiting_for_file(offer_->model_name), 0, 0});
}

void PlanMember::on_loading(mesh::PlanId plan, std::uint64_t done, std::uint64_t total) {
    if (offer_ && offer_->plan.id() == plan) report_progress("loading", done, total);
}

void PlanMember::on_loaded(mesh::PlanId plan, const HeldBytes& held) {
    if (!offer_ || offer_->plan.id() != plan) return;
    held_ = held;
    loaded_ = true;
    links_.send(root_, PlanLoaded{offer_->plan, held.weights, held.planned_weights, held.kv_cache,
                                  held.buffers});
}

void PlanMember::on_ended(mesh::PlanId plan, const PlanOutcome& outcome) {
    if (offer_ && offer_->plan.id() == plan) refuse(outcome);
}

void PlanMember::refuse(const PlanOutcome& outcome) {
    PlanEnd end{offer_->plan, outcome.error.substr(0, mesh::messages::kMaxText), outcome.fault, {}};
    for (const mesh::DeviceId& id : outcome.missing) end.peers.push_back(id.bytes);
    if (!outcome.error.empty()) log::warn("plan {}: {}", end.plan.number, outcome.error);
    offer_.reset();
    held_ = {};
    links_.send(root_, end);
}

}  // namespace shoal
