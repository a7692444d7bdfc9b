#include "daemon/plan/planner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <utility>

#include "daemon/exec/payload.hpp"
#include "daemon/plan/offer.hpp"
#include "daemon/plan/scatter_rows.hpp"

namespace shoal {

using mesh::messages::PlanOffer;

namespace {

// Jobs whose tokens one step may choose; the engine runs at most this many together.
constexpr std::uint32_t kMaxOutputs = 16;

// A context shorter than this is of no use: rather say that memory is short.
constexpr std::uint64_t kMinPositions = 256;

// A step's activations in one frame of the data plane, as f32; half of what it carries.
constexpr std::size_t kMaxPayloadBytes = std::size_t{32} << 20;

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

shard::Demand demand_of(const model::Hparams& hp, const PlanOffer& offer, kernels::KvType kv,
                        std::size_t devices) {
    exec::ExecutorOptions options;
    options.max_rows = offer.max_rows;
    options.max_outputs = offer.max_outputs;
    options.scatter_rows = offer.scatter_rows;
    options.kv_positions = offer.kv_positions;
    const shard::Slice all{{0, hp.n_heads}, {0, hp.n_kv_heads}, {0, hp.n_ff}, {0, hp.n_vocab}};
    shard::Demand demand;
    demand.kv_positions = offer.kv_positions;
    demand.kv_head_bytes = kernels::kv_head_bytes(kv, hp.head_dim);
    demand.buffer_bytes = exec::Executor::buffer_bytes(hp, all, options, kBufferThreads) / devices;
    return demand;
}

std::vector<shard::Device> devices_of(const std::vector<Candidate>& candidates) {
    std::vector<shard::Device> devices;
    for (const Candidate& c : candidates) {
        const double speed = c.member.description.speed / c.slower;
        shard::Device& device = devices.emplace_back();
        device.name = c.member.description.name;
        device.speed = speed > 0 ? speed : 1;
        device.memory_bytes = c.member.description.memory_available;
        device.embedding = devices.size() == 1;
    }
    return devices;
}

// The device but the root with the least memory that has a limit at all, or none.
std::vector<Candidate>::iterator smallest(std::vector<Candidate>& candidates) {
    const auto limit = [](const Candidate& c) {
        const std::uint64_t bytes = c.member.description.memory_available;
        return bytes == 0 ? ~std::uint64_t{0} : bytes;
    };
    const auto it = std::min_element(
        candidates.begin() + 1, candidates.end(),
        [&](const Candidate& a, const Candidate& b) { return limit(a) < limit(b); });
    return it == candidates.end() || limit(*it) == ~std::uint64_t{0} ? candidates.end() : it;
}

// From how many rows on sums go in two hops in a plan of so many devices; 0: never.
std::uint32_t two_hops_from(const PlanOffer& offer, std::uint32_t dim, std::size_t devices) {
    const exec::PayloadCode code(kernels::reference(), *exec::payload_type(offer.collectives), dim);
    const std::uint64_t rows = scatter_rows(devices, code.bytes(dim));
    return rows > offer.max_rows ? 0 : static_cast<std::uint32_t>(rows);
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
    offer.max_outputs = kMaxOutputs;
    return offer;
}

// Cuts the model for one context. The devices that are too small for any part go one by one: what
// they lack no cut can give them. Throws shard::PlanError of all devices when none is left to go.
Planned plan_context(const OpenModel& model, kernels::KvType kv, PlanOffer offer,
                     std::vector<Candidate> taking) {
    const model::GgufHeader& header = model.source->header();
    Planned planned;
    for (std::optional<shard::PlanError> refusal;;) {
        try {
            offer.scatter_rows = two_hops_from(offer, model.hparams.dim, taking.size());
            const auto slices =
                shard::make_plan(header, model.hparams, devices_of(taking),
                                 demand_of(model.hparams, offer, kv, taking.size()));
            for (std::size_t r = 0; r < taking.size(); ++r) {
                offer.devices.push_back(part_of(taking[r].member, slices[r]));
            }
            planned.offer = std::move(offer);
            return planned;
        } catch (const shard::PlanError& error) {
            if (!refusal) refusal = error;
            const auto out = smallest(taking);
            if (out == taking.end()) throw *refusal;
            const mesh::Member& member = out->member;
            planned.left_out[member.id] = {
                fmt::format("{:.1f} MiB of memory are too little for a part of {}",
                            static_cast<double>(member.description.memory_available) / (1 << 20),
                            model.hparams.name),
                "free memory on it, or raise its device.memory_limit_bytes"};
            taking.erase(out);
        }
    }
}

}  // namespace

Planned plan_model(const OpenModel& model, const config::ModelSettings& settings,
                   const Situation& taking) {
    const model::Hparams& hp = model.hparams;
    std::vector<Candidate> devices = taking.devices;
    std::sort(devices.begin() + 1, devices.end(),
              [](const Candidate& a, const Candidate& b) { return a.member.id < b.member.id; });

    const kernels::KvType kv = kv_type(settings.kv, model.source->header(), hp);
    PlanOffer offer = frame_of(model, settings, kv);
    offer.kv_positions =
        settings.context == 0 ? hp.n_context : std::min(settings.context, hp.n_context);
    // As much context as memory allows, down to what is still of use.
    for (;;) {
        try {
            return plan_context(model, kv, offer, devices);
        } catch (const shard::PlanError&) {
            offer.kv_positions /= 2;
            if (offer.kv_positions < kMinPositions) throw;
        }
    }
}

bool fits_another_root(const OpenModel& model, const config::ModelSettings& settings,
                       Situation taking) {
    for (std::size_t i = 1; i < taking.devices.size(); ++i) {
        std::swap(taking.devices[0], taking.devices[i]);
        try {
            static_cast<void>(plan_model(model, settings, taking));
            return true;
        } catch (const std::runtime_error&) {
            continue;
        }
    }
    return false;
}

}  // namespace shoal
