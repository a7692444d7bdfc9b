#include "daemon/plan/planner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <stdexcept>
#include <utility>

#include "config/syntax.hpp"
#include "daemon/exec/payload.hpp"
#include "daemon/plan/offer.hpp"
#include "daemon/planner/choose.hpp"
#include "daemon/planner/scatter_rows.hpp"
#include "daemon/shard/cutter.hpp"

namespace shoal {

using mesh::messages::PlanOffer;

namespace {

// Tokens that one step may choose or tell the scores of, also where fewer jobs run together.
constexpr std::uint32_t kLeastOutputs = 16;

// A context shorter than this is of no use: rather say that memory is short.
constexpr std::uint64_t kMinPositions = 256;

// A step's activations in one frame of the data plane, as f32; half of what it carries.
constexpr std::size_t kMaxPayloadBytes = std::size_t{32} << 20;

// Weight bytes per second of a device that does not say.
constexpr double kUnknownSpeed = 5e9;

// A guess at the threads of a device, for its share of attention buffers.
constexpr std::uint32_t kBufferThreads = 16;

// The type of the KV cache that the settings mean for a model. Throws std::runtime_error when the
// model's heads do not fit it.
kernels::KvType kv_type(config::KvType setting, const model::GgufHeader& header,
                        const model::Hparams& hp) {
    switch (setting) {
        case config::KvType::f32:
            return kernels::KvType::f32;
        case config::KvType::f16:
            return kernels::KvType::f16;
        case config::KvType::q8_0:
            if (kernels::kv_head_dim_fits(kernels::KvType::q8_0, hp.head_dim)) {
                return kernels::KvType::q8_0;
            }
            throw std::runtime_error(
                "models.kv = q8_0 needs heads of a multiple of " +
                std::to_string(kernels::kKvScaleElements) + " elements, and this model's have " +
                std::to_string(hp.head_dim) + "; set models.kv to auto, f16 or f32");
        case config::KvType::automatic:
            break;
    }
    const auto& query = header.tensor(model::tensor_name::layer(0, "attn_q.weight"));
    return query.type == kernels::DType::f32 ? kernels::KvType::f32 : kernels::KvType::f16;
}

// The form of partial sums that the settings mean for a model. Where products round activations to
// bytes anyway, twice the bytes gain little (kernels/NUMERICS.md#partial-sums).
std::string collectives(config::Collectives setting, const model::GgufHeader& header) {
    if (setting != config::Collectives::automatic) return config::name(setting);
    const auto& query = header.tensor(model::tensor_name::layer(0, "attn_q.weight"));
    return exec::name(kernels::is_float(query.type) ? exec::PayloadType::q16
                                                    : exec::PayloadType::q8_0);
}

// Bytes of one row of partial sums, as they travel.
std::uint64_t row_bytes(const PlanOffer& offer, std::uint32_t dim) {
    return exec::PayloadCode(kernels::reference(), *exec::payload_type(offer.collectives), dim)
        .bytes(dim);
}

// From how many rows on sums go in two hops among these devices; 0: never. Whether at all decides
// how sums are rounded, so it follows from the number of devices and the model alone, and from how
// many rows on, from the slowest link.
std::uint32_t two_hops_from(const PlanOffer& offer, std::uint32_t dim,
                            const planner::Cluster& cluster,
                            const std::vector<std::size_t>& members) {
    const std::uint64_t row = row_bytes(offer, dim);
    const std::uint64_t usual = planner::scatter_rows(members.size(), row);
    if (usual > offer.max_rows) return 0;
    if (usual == 0 || cluster.links.empty()) return static_cast<std::uint32_t>(usual);
    double wait = 0, speed = 0;
    for (const std::size_t a : members) {
        for (const std::size_t b : members) {
            if (a == b) continue;
            const planner::Link& link = cluster.link(a, b);
            wait = std::max(wait, link.exchange_seconds);
            speed = speed == 0 ? link.bytes_per_second : std::min(speed, link.bytes_per_second);
        }
    }
    const auto rows =
        planner::scatter_rows(members.size(), row, static_cast<std::uint64_t>(wait * speed));
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(rows, offer.max_rows));
}

// What a plan's KV cache and buffers take, by the number of its devices; `overlap`: large steps may
// have halves.
std::function<shard::Demand(std::size_t)> demand_of(const model::Hparams& hp,
                                                    const PlanOffer& offer, kernels::KvType kv,
                                                    bool overlap) {
    exec::ExecutorOptions options;
    options.max_rows = offer.max_rows;
    options.max_outputs = offer.max_outputs;
    options.kv_positions = offer.kv_positions;
    options.overlap = overlap;
    const shard::Slice all = shard::whole_slice(hp);
    const auto buffers = [&](std::uint32_t scatter_rows) {
        options.scatter_rows = scatter_rows;
        return exec::Executor::buffer_bytes(hp, all, options, kBufferThreads);
    };
    const std::uint64_t one_hop = buffers(0), two_hops = buffers(offer.max_rows);
    const std::uint64_t head = kernels::kv_head_bytes(kv, hp.head_dim);
    return [one_hop, two_hops, head, positions = offer.kv_positions](std::size_t devices) {
        return shard::Demand{positions, head, (devices > 2 ? two_hops : one_hop) / devices};
    };
}

// What sharing out the rows of prompts takes, where the settings allow it.
std::optional<planner::RowTerms> row_terms(config::Prefill setting, const OpenModel& model,
                                           const PlanOffer& offer) {
    if (setting == config::Prefill::tensor) return std::nullopt;
    const auto buffers = [&hp = model.hparams, rows = offer.max_rows](
                             std::span<const shard::Slice> slices,
                             std::span<const std::uint32_t> shares, std::size_t rank) {
        return exec::SequenceParallel::bytes(
            hp, {{slices.begin(), slices.end()}, {shares.begin(), shares.end()}},
            static_cast<std::uint32_t>(rank), rows);
    };
    return planner::RowTerms{buffers, setting == config::Prefill::sequence};
}

bool is_called(const Candidate& candidate, const std::string& name) {
    return name == candidate.name || name == candidate.member.description.name ||
           name == candidate.member.id.hex();
}

planner::Cluster cluster_of(const std::vector<Candidate>& candidates,
                            const config::PlanSettings& settings, const KnownLinks& links) {
    planner::Cluster cluster;
    std::vector<mesh::DeviceId> ids;
    for (const Candidate& c : candidates) {
        ids.push_back(c.member.id);
        planner::PlanDevice& device = cluster.devices.emplace_back();
        device.name = c.name;
        device.profile =
            c.profile.value_or(planner::DeviceProfile::guess(kUnknownSpeed)).slowed(c.slower);
        device.memory_bytes = c.member.description.memory_available;
        device.whole_file = c.whole_file;
        for (const std::string& entry : settings.share) {
            const auto share = config::parse_share(entry);
            if (share && is_called(c, share->device)) device.most = share->part;
        }
    }
    set_links(cluster, ids, links);
    return cluster;
}

mesh::messages::PlanDevice part_of(const mesh::Member& member, const shard::Slice& slice) {
    return {member.id.bytes, member.public_key, member.description.data_endpoint,
            message_of(slice)};
}

// All of an offer but its context and its devices.
PlanOffer frame_of(const OpenModel& model, const config::ModelSettings& settings,
                   kernels::KvType kv) {
    PlanOffer offer;
    offer.kv_type = kernels::name(kv);
    offer.collectives = collectives(settings.collectives, model.source->header());
    offer.max_rows = std::clamp<std::uint32_t>(
        static_cast<std::uint32_t>(kMaxPayloadBytes / (sizeof(float) * model.hparams.dim)), 1,
        std::min(settings.batch_tokens, exec::kMaxStepRows));
    offer.max_outputs = std::max(kLeastOutputs, settings.parallel);
    return offer;
}

// Takes those out that a person does not want.
LeftOutDevices exclude(std::vector<Candidate>& devices, const config::PlanSettings& settings) {
    LeftOutDevices out;
    for (const std::string& name : settings.exclude) {
        const auto first =
            std::stable_partition(devices.begin() + 1, devices.end(),
                                  [&](const Candidate& c) { return !is_called(c, name); });
        for (auto it = first; it != devices.end(); ++it) {
            out[it->member.id] = {"plan.exclude of the root names it", "", true};
        }
        devices.erase(first, devices.end());
    }
    return out;
}

// Marks those of a plan that would have a share of rows if all of it had the model's file.
void want_files(PlanOffer& offer, const OpenModel& model, PlanDraft& draft,
                const std::vector<std::size_t>& members) {
    if (!draft.terms.rows) return;
    std::vector<planner::PlanDevice>& devices = draft.cluster.devices;
    std::vector<std::size_t> lacking;
    for (std::size_t r = 0; r < members.size(); ++r) {
        if (!std::exchange(devices[members[r]].whole_file, true)) lacking.push_back(r);
    }
    if (lacking.empty()) return;
    const planner::Chooser chooser(model.source->header(), model.hparams, draft.cluster,
                                   draft.terms);
    const auto with_files = chooser.among(members);
    if (!with_files || !with_files->sharing) return;
    for (const std::size_t r : lacking) {
        offer.devices[r].wants_file = with_files->sharing->shares[r] != 0;
    }
}

LeftOut why_left_out(const mesh::Member& member, const std::string& model,
                     const planner::Chooser::Reason& reason) {
    if (reason.spare) {
        return {reason.text, "plan.min_devices makes more devices take part", true};
    }
    return {
        fmt::format("{:.1f} MiB of memory are too little for a part of {}",
                    static_cast<double>(member.description.memory_available) / (1 << 20), model),
        "free memory on it, or raise its device.memory_limit_bytes"};
}

}  // namespace

std::uint64_t wanted_context(const OpenModel& model, const PlanRules& rules) noexcept {
    const std::uint32_t most = model.hparams.n_context;
    return rules.models.context == 0 ? most : std::min(rules.models.context, most);
}

PlanDraft draft_plan(const OpenModel& model, const PlanRules& rules, const Situation& taking) {
    const model::Hparams& hp = model.hparams;
    const model::GgufHeader& header = model.source->header();
    PlanDraft draft;
    std::vector<Candidate>& devices = draft.devices = taking.devices;
    draft.left_out = exclude(devices, rules.plan);
    std::sort(devices.begin() + 1, devices.end(),
              [](const Candidate& a, const Candidate& b) { return a.member.id < b.member.id; });

    const kernels::KvType kv = kv_type(rules.models.kv, header, hp);
    PlanOffer& offer = draft.offer = frame_of(model, rules.models, kv);
    const std::uint64_t wanted = wanted_context(model, rules);
    draft.cluster = cluster_of(devices, rules.plan, taking.links);
    planner::Terms& terms = draft.terms;
    terms.form = {double(row_bytes(offer, hp.dim)) / hp.dim,
                  double(kernels::kv_head_bytes(kv, hp.head_dim)) / hp.head_dim, offer.max_rows};
    terms.rows = row_terms(rules.models.prefill, model, offer);
    if (rules.models.overlap != config::Overlap::automatic) {
        terms.overlap = rules.models.overlap == config::Overlap::always;
    }
    terms.min_devices = rules.plan.min_devices;
    const planner::Chooser chooser(header, hp, draft.cluster, terms);
    const auto fits_with = [&](std::uint64_t positions) {
        offer.kv_positions = positions;
        terms.demand = demand_of(hp, offer, kv, terms.overlap.value_or(true));
        return chooser.fits();
    };
    // As much context as memory allows, down to what is still of use.
    if (!fits_with(wanted)) {
        std::uint64_t least = 1, most = (wanted + kMinPositions - 1) / kMinPositions;
        while (least + 1 < most) {
            const std::uint64_t middle = (least + most) / 2;
            (fits_with(middle * kMinPositions) ? least : most) = middle;
        }
        fits_with(std::min(wanted, least * kMinPositions));
    }
    return draft;
}

Planned plan_model(const OpenModel& model, const PlanRules& rules, const Situation& taking) {
    const model::Hparams& hp = model.hparams;
    PlanDraft draft = draft_plan(model, rules, taking);
    const std::vector<Candidate>& devices = draft.devices;
    Planned planned{std::move(draft.offer), std::move(draft.left_out)};
    PlanOffer& offer = planned.offer;
    const planner::Chooser chooser(model.source->header(), hp, draft.cluster, draft.terms);
    const planner::Alternative best = chooser.best();
    offer.scatter_rows = two_hops_from(offer, hp.dim, draft.cluster, best.members);
    for (std::size_t r = 0; r < best.members.size(); ++r) {
        offer.devices.push_back(part_of(devices[best.members[r]].member, best.slices[r]));
        if (!best.sharing) continue;
        offer.devices.back().row_share = best.sharing->shares[r];
        offer.devices.back().whole_bytes = best.sharing->whole_bytes[r];
    }
    if (best.sharing) offer.sequence_rows = best.sharing->from;
    offer.overlap = best.overlap;
    for (const auto& [d, reason] : chooser.left_out(best)) {
        const mesh::Member& member = devices[d].member;
        planned.left_out[member.id] = why_left_out(member, hp.name, reason);
    }
    want_files(offer, model, draft, best.members);
    return planned;
}

bool fits_another_root(const OpenModel& model, const PlanRules& rules, Situation taking) {
    for (std::size_t i = 1; i < taking.devices.size(); ++i) {
        std::swap(taking.devices[0], taking.devices[i]);
        try {
            static_cast<void>(plan_model(model, rules, taking));
            return true;
        } catch (const std::runtime_error&) {
            continue;
        }
    }
    return false;
}

}  // namespace shoal
