#include "daemon/planner/prediction.hpp"

#include <algorithm>

#include "daemon/planner/scatter_rows.hpp"

namespace shoal::planner {
namespace {

// Sending to one more device, and hearing from it: system calls, sealing.
constexpr double kFrameSeconds = 8e-6;

// The residual stream and each device's partial sums are gone through once between two products.
double passes(std::size_t devices) {
    return devices == 1 ? 1 : 1 + 0.5 * static_cast<double>(devices);
}

}  // namespace

Seconds& Seconds::operator+=(const Seconds& o) noexcept {
    attention += o.attention;
    ffn += o.ffn;
    lm_head += o.lm_head;
    between += o.between;
    exchange += o.exchange;
    return *this;
}

Seconds Seconds::operator*(double f) const noexcept {
    return {attention * f, ffn * f, lm_head * f, between * f, exchange * f};
}

Predictor::Predictor(const ModelWork& work, const Cluster& cluster,
                     std::span<const std::size_t> members, Form form)
    : work_(work), cluster_(cluster), members_(members), form_(form) {
    for (const std::size_t a : members) {
        for (const std::size_t b : members) {
            if (a == b) continue;
            latency_ = std::max(latency_, cluster.link(a, b).exchange_seconds);
        }
    }
    if (members.size() > 2) latency_ += static_cast<double>(members.size() - 2) * kFrameSeconds;
}

// A device's frames share its way into the network; what it sends and what it receives do not.
double Predictor::exchange(double bytes, bool root_only) const {
    if (members_.size() == 1) return 0;
    double longest = 0;
    for (const std::size_t a : members_) {
        double out = 0, in = 0;
        for (const std::size_t b : members_) {
            if (a == b) continue;
            out += bytes / cluster_.link(a, b).bytes_per_second;
            in += bytes / cluster_.link(b, a).bytes_per_second;
        }
        longest = std::max({longest, out, in});
        if (root_only) break;
    }
    return latency_ + longest;
}

double Predictor::all_gather(double bytes) const {
    return exchange(bytes, false);
}

// In one hop everyone sends everything to everyone, in two each a part, and then a sum.
double Predictor::all_reduce(double rows, double row_bytes) const {
    const auto from = scatter_rows(members_.size(), static_cast<std::uint64_t>(row_bytes));
    if (from == 0 || rows < static_cast<double>(from)) return exchange(rows * row_bytes, false);
    return 2 * exchange(rows * row_bytes / static_cast<double>(members_.size()), false);
}

Seconds Predictor::step(std::span<const shard::Slice> slices, Rows rows) const {
    Seconds s;
    const double attended = rows.count * rows.positions * work_.head_dim * work_.n_layers;
    const double stream = 2 * rows.count * work_.dim * work_.n_layers * passes(members_.size());
    for (std::size_t r = 0; r < members_.size(); ++r) {
        const DeviceProfile& p = cluster_.devices[members_[r]].profile;
        const shard::Slice& slice = slices[r];
        s.attention = std::max(
            s.attention, slice.q_heads.size() * (seconds_of(work_.query_head, p, rows.count) +
                                                 attended * attend_seconds(p, rows.count)) +
                             slice.kv_heads.size() * seconds_of(work_.kv_head, p, rows.count));
        s.ffn = std::max(s.ffn, slice.ffn.size() * seconds_of(work_.ffn_column, p, rows.count));
        if (rows.outputs > 0) {
            s.lm_head = std::max(s.lm_head,
                                 slice.vocab.size() * seconds_of(work_.vocab_row, p, rows.outputs));
        }
        s.between = std::max(s.between, stream / p.elements + work_.n_layers * p.layer_seconds);
    }
    if (members_.size() > 1) {
        const double row = work_.dim * form_.bytes_per_element;
        s.exchange = 2 * work_.n_layers * all_reduce(rows.count, row);
        // The order of a step with its embeddings, and the scores.
        s.exchange += exchange(rows.count * row, true);
        if (rows.outputs > 0) s.exchange += latency_;
    }
    return s;
}

Seconds Predictor::prefill(std::span<const shard::Slice> slices, std::uint32_t tokens,
                           double before) const {
    Seconds s;
    for (std::uint32_t done = 0; done < tokens;) {
        const std::uint32_t rows = std::min(form_.batch_rows, tokens - done);
        s += step(slices, {double(rows), before + done + (rows + 1) / 2.0,
                           done + rows == tokens ? 1.0 : 0.0});
        done += rows;
    }
    return s;
}

Seconds Predictor::decode(std::span<const shard::Slice> slices, double positions) const {
    return step(slices, {1, positions + 1, 1});
}

Seconds Predictor::request(std::span<const shard::Slice> slices, const Request& r) const {
    Seconds s = prefill(slices, r.prompt, r.positions);
    s += decode(slices, r.positions + r.prompt + r.answer / 2.0) * double(r.answer);
    return s;
}

double redundant_kv_outputs(const ModelWork& work, std::span<const shard::Slice> slices) noexcept {
    double held = 0;
    for (const shard::Slice& slice : slices) held += slice.kv_heads.size();
    return (held - work.n_kv_heads) * work.head_dim / static_cast<double>(slices.size());
}

}  // namespace shoal::planner
