#include "daemon/plan/offer.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include "daemon/shard/cut.hpp"
#include "mesh/wire/host_text.hpp"

namespace shoal {

using mesh::messages::PlanDevice;
using mesh::messages::PlanOffer;
using mesh::messages::Range;
using mesh::messages::Slice;

namespace {

// Positions of a KV cache that an offer may ask for: more than any model's context.
constexpr std::uint64_t kMaxPositions = std::uint64_t{1} << 24;

std::optional<kernels::KvType> kv_type(const std::string& name) {
    for (const auto type : {kernels::KvType::f32, kernels::KvType::f16, kernels::KvType::q8_0}) {
        if (name == kernels::name(type)) return type;
    }
    return std::nullopt;
}

// Checks that a range of all devices, in rank order, covers [0, end) without gap or overlap.
bool covers(const std::vector<PlanDevice>& devices, std::uint32_t end, Range Slice::*member) {
    std::uint32_t at = 0;
    for (const PlanDevice& device : devices) {
        const Range range = device.slice.*member;
        if (range.begin == range.end) continue;
        if (range.begin != at || range.end < range.begin) return false;
        at = range.end;
    }
    return at == end;
}

}  // namespace

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

shard::Slice slice_of(const Slice& s) noexcept {
    const auto range = [](Range r) { return shard::Range{r.begin, r.end}; };
    return {range(s.q_heads), range(s.kv_heads), range(s.ffn), range(s.vocab)};
}

Slice message_of(const shard::Slice& s) noexcept {
    const auto range = [](shard::Range r) { return Range{r.begin, r.end}; };
    return {range(s.q_heads), range(s.kv_heads), range(s.ffn), range(s.vocab)};
}

std::optional<std::string> check_offer(const PlanOffer& offer, const model::Hparams& hp,
                                       std::uint32_t ffn_step) {
    const auto& devices = offer.devices;
    if (!covers(devices, hp.n_heads, &Slice::q_heads)) {
        return "its slices do not cover the query heads once";
    }
    if (!covers(devices, hp.n_ff, &Slice::ffn)) {
        return "its slices do not cover the FFN columns once";
    }
    if (!covers(devices, hp.n_vocab, &Slice::vocab)) {
        return "its slices do not cover the vocabulary once";
    }
    for (const PlanDevice& device : devices) {
        const shard::Slice slice = slice_of(device.slice);
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
        offer.max_outputs > exec::kMaxStepRows || offer.scatter_rows > offer.max_rows) {
        return "its sizes are beyond the limits";
    }
    if (offer.sequence_rows != 0 &&
        std::none_of(devices.begin(), devices.end(),
                     [](const PlanDevice& d) { return d.row_share != 0; })) {
        return "nobody has a share of the rows that are to be shared out";
    }
    return std::nullopt;
}

exec::ExecutorOptions executor_options(const PlanOffer& offer) {
    exec::ExecutorOptions options;
    options.kv_type = *kv_type(offer.kv_type);
    options.collectives = *exec::payload_type(offer.collectives);
    options.scatter_rows = offer.scatter_rows;
    options.kv_positions = offer.kv_positions;
    options.max_rows = offer.max_rows;
    options.max_outputs = offer.max_outputs;
    options.sequence_rows = offer.sequence_rows;
    options.overlap = offer.overlap;
    if (offer.sequence_rows == 0) return options;
    for (const PlanDevice& device : offer.devices) {
        options.row_shares.slices.push_back(slice_of(device.slice));
        options.row_shares.shares.push_back(device.row_share);
    }
    return options;
}

std::string with_host(const std::string& endpoint, const std::string& host) {
    const std::size_t colon = endpoint.rfind(':');
    const std::string port = colon == std::string::npos ? "" : endpoint.substr(colon);
    return "tcp://" + mesh::wire::bracketed(host) + port;
}

}  // namespace shoal
