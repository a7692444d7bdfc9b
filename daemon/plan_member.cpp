#include "daemon/plan_member.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "daemon/shard/head_cut.hpp"

namespace shoal {

using mesh::wire::PlanDevice;
using mesh::wire::PlanEnd;
using mesh::wire::PlanLoaded;
using mesh::wire::PlanOffer;
using mesh::wire::PlanProgress;
using mesh::wire::PlanRef;
using mesh::wire::PlanStart;

namespace {

// Positions of a KV cache that an offer may ask for: more than any model's context.
constexpr std::uint64_t kMaxPositions = std::uint64_t{1} << 24;

std::optional<kernels::KvType> kv_type(const std::string& name) {
    for (const auto type : {kernels::KvType::f32, kernels::KvType::f16, kernels::KvType::q8_0}) {
        if (name == kernels::name(type)) return type;
    }
    return std::nullopt;
}

// "tcp://*:41234" at an address: a device does not know how others reach it.
std::string with_host(const std::string& endpoint, const std::string& host) {
    const std::size_t colon = endpoint.rfind(':');
    const std::string port = colon == std::string::npos ? "" : endpoint.substr(colon);
    return "tcp://" + (host.find(':') == std::string::npos ? host : "[" + host + "]") + port;
}

// What is wrong with an offer whatever its model, or nothing.
std::optional<std::string> check_sender(const PlanOffer& offer, const mesh::DeviceId& from,
                                        const mesh::DeviceId& self, const mesh::Term& term) {
    if (offer.plan.id().term != term) return "the offer is of another term";
    if (term.candidate != from) return "the offer does not come from the term's root";
    if (offer.devices.empty() || offer.devices.front().id != from.bytes) {
        return "the offer's first device is not its root";
    }
    std::set<std::array<std::uint8_t, 16>> ids;
    for (const PlanDevice& device : offer.devices) {
        if (!ids.insert(device.id).second) return "the offer lists a device twice";
    }
    if (!ids.contains(self.bytes)) return "the offer has no part for this device";
    return std::nullopt;
}

// Checks that the ranges of all devices, in rank order, cover [0, end) without gap or overlap.
template <typename Get>
bool covers(const std::vector<PlanDevice>& devices, std::uint32_t end, Get get) {
    std::uint32_t at = 0;
    for (const PlanDevice& device : devices) {
        const shard::Range range = get(slice_of(device));
        if (range.empty()) continue;
        if (range.begin != at || range.end < range.begin) return false;
        at = range.end;
    }
    return at == end;
}

}  // namespace

shard::Slice slice_of(const PlanDevice& d) noexcept {
    return {{d.q_begin, d.q_end},
            {d.kv_begin, d.kv_end},
            {d.ffn_begin, d.ffn_end},
            {d.vocab_begin, d.vocab_end}};
}

void set_slice(PlanDevice& d, const shard::Slice& s) noexcept {
    d.q_begin = s.q_heads.begin, d.q_end = s.q_heads.end;
    d.kv_begin = s.kv_heads.begin, d.kv_end = s.kv_heads.end;
    d.ffn_begin = s.ffn.begin, d.ffn_end = s.ffn.end;
    d.vocab_begin = s.vocab.begin, d.vocab_end = s.vocab.end;
}

std::optional<std::string> check_offer(const PlanOffer& offer, const model::Hparams& hp,
                                       std::uint32_t ffn_step) {
    const auto& devices = offer.devices;
    if (!covers(devices, hp.n_heads, [](const shard::Slice& s) { return s.q_heads; })) {
        return "its slices do not cover the query heads once";
    }
    if (!covers(devices, hp.n_ff, [](const shard::Slice& s) { return s.ffn; })) {
        return "its slices do not cover the FFN columns once";
    }
    if (!covers(devices, hp.n_vocab, [](const shard::Slice& s) { return s.vocab; })) {
        return "its slices do not cover the vocabulary once";
    }
    for (const PlanDevice& device : devices) {
        const shard::Slice slice = slice_of(device);
        if (slice.kv_heads != shard::kv_heads_of(slice.q_heads, hp.group())) {
            return "a slice's KV heads are not those that its query heads read";
        }
        if (!slice.ffn.empty() && slice.ffn.begin % ffn_step != 0) {
            return "a slice's FFN columns do not begin with a block of the weights";
        }
    }
    if (!kv_type(offer.kv_type) || !exec::payload_type(offer.collectives)) {
        return "it asks for a number format that this version does not know";
    }
    if (!kernels::kv_head_dim_fits(*kv_type(offer.kv_type), hp.head_dim)) {
        return "its KV type does not fit the model's heads";
    }
    if (offer.kv_positions == 0 || offer.kv_positions > kMaxPositions || offer.max_rows == 0 ||
        offer.max_rows > exec::kMaxStepRows || offer.max_outputs == 0 ||
        offer.max_outputs > exec::kMaxStepRows) {
        return "its sizes are beyond the limits";
    }
    return std::nullopt;
}

PlanMember::PlanMember(ModelProvider& models, Engine& engine, Links links)
    : models_(models), engine_(engine), links_(std::move(links)) {}

std::uint32_t PlanMember::rank() const {
    const auto& devices = offer_->devices;
    const auto it = std::find_if(devices.begin(), devices.end(),
                                 [&](const PlanDevice& d) { return d.id == links_.self.bytes; });
    return static_cast<std::uint32_t>(it - devices.begin());
}

void PlanMember::on_offer(const mesh::DeviceId& from, PlanOffer offer, mesh::Term term) {
    if (const auto wrong = check_sender(offer, from, links_.self, term)) {
        links_.send(from, PlanEnd{offer.plan, *wrong});
        return;
    }
    if (offer_) engine_.end(offer_->plan.id());
    models_.cancel(this);
    offer_ = std::move(offer);
    root_ = from;
    held_ = {};
    reported_percent_ = 0;
    get_model();
}

void PlanMember::get_model() {
    ModelProvider::Want want;
    want.owner = this;
    want.hash.bytes = offer_->model;
    want.name = offer_->model_name;
    want.file_bytes = offer_->file_bytes;
    want.tokenizer = rank() == 0;
    const shard::Slice slice = slice_of(offer_->devices[rank()]);
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
        report_progress("fetching", done, total);
    };
    want.done = [this, plan = offer_->plan](std::shared_ptr<const OpenModel> model,
                                            const std::string& error) {
        if (!offer_ || offer_->plan != plan) return;
        if (!model) return refuse(error);
        load(std::move(model));
    };
    models_.get(std::move(want));
}

void PlanMember::load(std::shared_ptr<const OpenModel> model) {
    const std::uint32_t ffn_step = shard::ffn_cut_step(model->source->header(), model->hparams);
    if (const auto wrong = check_offer(*offer_, model->hparams, ffn_step)) {
        return refuse("the plan does not fit the model: " + *wrong);
    }
    if (model->tokenizer && !model->tokenizer->warning().empty()) {
        spdlog::warn("{}: {}", model->name, model->tokenizer->warning());
    }
    PlanSpec spec;
    spec.id = offer_->plan.id();
    spec.rank = rank();
    spec.options.kv_type = *kv_type(offer_->kv_type);
    spec.options.collectives = *exec::payload_type(offer_->collectives);
    spec.options.kv_positions = offer_->kv_positions;
    spec.options.max_rows = offer_->max_rows;
    spec.options.max_outputs = offer_->max_outputs;
    spec.model = std::move(model);
    for (const PlanDevice& device : offer_->devices) {
        spec.slices.push_back(slice_of(device));
        const mesh::DeviceId id{device.id};
        const std::string host = id == links_.self ? "self" : links_.address(id);
        if (host.empty()) {
            return refuse("device " + id.hex().substr(0, 8) + " of the plan is not known here yet");
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
    engine_.end(offer_->plan.id());
    offer_.reset();
    held_ = {};
}

void PlanMember::report_progress(const char* what, std::uint64_t done, std::uint64_t total) {
    const std::uint64_t percent = total == 0 ? 0 : done * 100 / total;
    if (!offer_ || percent == reported_percent_) return;
    reported_percent_ = percent;
    links_.send(root_, PlanProgress{offer_->plan, what, done, total});
}

void PlanMember::on_loading(mesh::PlanId plan, std::uint64_t done, std::uint64_t total) {
    if (offer_ && offer_->plan.id() == plan) report_progress("loading", done, total);
}

void PlanMember::on_loaded(mesh::PlanId plan, const HeldBytes& held) {
    if (!offer_ || offer_->plan.id() != plan) return;
    held_ = held;
    links_.send(root_, PlanLoaded{offer_->plan, held.weights, held.planned_weights, held.kv_cache,
                                  held.buffers});
}

void PlanMember::on_ended(mesh::PlanId plan, const std::string& error) {
    if (offer_ && offer_->plan.id() == plan) refuse(error);
}

void PlanMember::refuse(const std::string& error) {
    const PlanRef plan = offer_->plan;
    offer_.reset();
    held_ = {};
    links_.send(root_, PlanEnd{plan, error.substr(0, mesh::wire::kMaxText)});
}

}  // namespace shoal
