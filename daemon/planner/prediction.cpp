#include "daemon/planner/prediction.hpp"

#include <algorithm>

#include "daemon/planner/scatter_rows.hpp"

namespace shoal::planner {
namespace {

// Sending to one more device, and hearing from it: system calls, sealing.
constexpr double kFrameSeconds = 8e-6;

// Bytes of frames that a core sends and receives in a second, the system's part of it as well: what
// is under way takes so much from whoever computes beside it.
constexpr double kCarried = 250e6;

// What a step of many rows takes longer in halves: weights are expanded, and streamed, twice.
constexpr double kHalved = 1.04;

// The residual stream and each device's partial sums are gone through once between two products.
double passes(std::size_t devices) {
    return devices == 1 ? 1 : 1 + 0.5 * static_cast<double>(devices);
}

// What is computed in a layer, of both halves.
void halved(Seconds& s) {
    s.attention *= 2 * kHalved;
    s.ffn *= 2 * kHalved;
    s.between *= 2;
}

// Bytes of weights that are read from a file in memory, and packed, in a second.
double read_again(const DeviceProfile& profile) {
    constexpr double kSlower = 4;
    return profile.of(Family::q4).one_row / kSlower;
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
                     std::span<const std::size_t> members, Form form, const RowSharing* sharing)
    : work_(work), cluster_(cluster), members_(members), form_(form), sharing_(sharing) {
    for (const std::size_t a : members) {
        for (const std::size_t b : members) {
            if (a == b) continue;
            latency_ = std::max(latency_, cluster.link(a, b).exchange_seconds);
            busy_ = std::max(busy_, std::min(1.0, cluster.link(a, b).bytes_per_second / kCarried));
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

// In how many parts so many rows are computed: as exec::ExecutorOptions::flow_rows() says.
double Predictor::parts_of(double rows) const noexcept {
    const bool two = form_.overlap && members_.size() > 1 && rows > (form_.batch_rows + 1) / 2;
    return two ? 2 : 1;
}

// What a layer takes besides computing when two halves take turns: each computes `first` seconds
// and sends, computes `second` and sends. While the first half sends, the second one does what came
// before it; while that sends, the first half does what follows.
double Predictor::in_turns(double first, double first_sent, double second,
                           double second_sent) const noexcept {
    const auto beside = [&](double computing, double sent) {
        return std::max(busy_ * sent, sent - computing);
    };
    return beside(first, first_sent) + beside(second, first_sent) + beside(second, second_sent) +
           beside(first, second_sent);
}

Seconds Predictor::step(std::span<const shard::Slice> slices, Rows rows) const {
    Seconds s;
    const double parts = parts_of(rows.count);
    rows.count /= parts;
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
        const double sum = all_reduce(rows.count, row);
        s.exchange = 2 * work_.n_layers * sum;
        if (parts == 2) {
            const double first = (s.attention + s.between / 2) / work_.n_layers;
            const double second = (s.ffn + s.between / 2) / work_.n_layers;
            s.exchange = work_.n_layers * in_turns(first, sum, second, sum);
            halved(s);
        }
        // The order of a step with its embeddings, and the scores.
        s.exchange += exchange(parts * rows.count * row, true);
        if (rows.outputs > 0) s.exchange += latency_;
    }
    return s;
}

// To the heads and back: what the slowest way in or out of the network takes.
Predictor::AllToAlls Predictor::all_to_alls(std::span<const shard::Slice> slices,
                                            const RowSharing& sharing, double rows) const {
    double all = 0;
    for (const std::uint32_t share : sharing.shares) all += share;
    // Bytes from a rank's rows to another's heads; and back.
    const auto heads_bytes = [&](std::size_t from, std::size_t to) {
        return rows * sharing.shares[from] / all * work_.head_dim *
               (slices[to].q_heads.size() * form_.bytes_per_element +
                2 * slices[to].kv_heads.size() * form_.kv_bytes_per_element);
    };
    const auto back_bytes = [&](std::size_t from, std::size_t to) {
        return rows * sharing.shares[to] / all * work_.head_dim * slices[from].q_heads.size() *
               form_.bytes_per_element;
    };
    double there = 0, back = 0;
    for (std::size_t a = 0; a < members_.size(); ++a) {
        double there_out = 0, there_in = 0, back_out = 0, back_in = 0;
        for (std::size_t b = 0; b < members_.size(); ++b) {
            if (a == b) continue;
            const double out = cluster_.link(members_[a], members_[b]).bytes_per_second;
            const double in = cluster_.link(members_[b], members_[a]).bytes_per_second;
            there_out += heads_bytes(a, b) / out;
            there_in += heads_bytes(b, a) / in;
            back_out += back_bytes(a, b) / out;
            back_in += back_bytes(b, a) / in;
        }
        there = std::max({there, there_out, there_in});
        back = std::max({back, back_out, back_in});
    }
    return {latency_ + there, latency_ + back};
}

Seconds Predictor::sequence_step(std::span<const shard::Slice> slices, const RowSharing& sharing,
                                 Rows rows) const {
    Seconds s;
    const double parts = parts_of(rows.count);
    rows.count /= parts;
    const Work layers = work_.layers();
    double layer_bytes = 0, all = 0;
    for (const double bytes : layers.bytes) layer_bytes += bytes;
    for (const std::uint32_t share : sharing.shares) all += share;
    const double attended = rows.count * rows.positions * work_.head_dim * work_.n_layers;
    const double coded = rows.count * work_.n_layers * work_.head_dim;
    for (std::size_t r = 0; r < members_.size(); ++r) {
        const DeviceProfile& p = cluster_.devices[members_[r]].profile;
        const double own = rows.count * sharing.shares[r] / all;
        s.attention = std::max(s.attention,
                               slices[r].q_heads.size() * attended * attend_seconds(p, rows.count));
        if (own > 0) {
            // Two halves in turns read each such layer three times.
            const double read = (parts == 2 ? 1.5 : 1) *
                                std::max(0.0, layer_bytes - double(sharing.whole_bytes[r]));
            s.ffn = std::max(s.ffn, seconds_of(layers, p, own) + read / read_again(p));
        }
        // Rows pass as on a device alone, and the heads once more each way.
        const double passes = 2 * own * work_.dim * work_.n_layers +
                              coded * (slices[r].q_heads.size() + slices[r].kv_heads.size());
        s.between = std::max(s.between, passes / p.elements + work_.n_layers * p.layer_seconds);
        if (rows.outputs > 0) {
            s.lm_head = std::max(
                s.lm_head, slices[r].vocab.size() * seconds_of(work_.vocab_row, p, rows.outputs));
        }
    }
    if (members_.size() > 1) {
        const auto [to_heads, to_rows] = all_to_alls(slices, sharing, rows.count);
        s.exchange = work_.n_layers * (to_heads + to_rows);
        if (parts == 2) {
            const double heads = s.attention / work_.n_layers;
            const double own = (s.ffn + s.between) / work_.n_layers;
            s.exchange = work_.n_layers * in_turns(heads, to_rows, own, to_heads);
            halved(s);
        }
        s.exchange += exchange(parts * rows.count * work_.dim * form_.bytes_per_element, true);
        // Rows with an output go to everyone, scores to the root.
        if (rows.outputs > 0) s.exchange += 2 * latency_;
    }
    return s;
}

Seconds Predictor::prefill(std::span<const shard::Slice> slices, std::uint32_t tokens,
                           double before) const {
    Seconds s;
    const bool shared = sharing_ != nullptr && tokens >= sharing_->from;
    for (std::uint32_t done = 0; done < tokens;) {
        const std::uint32_t rows = std::min(form_.batch_rows, tokens - done);
        const Rows some{double(rows), before + done + (rows + 1) / 2.0,
                        done + rows == tokens ? 1.0 : 0.0};
        s += shared ? sequence_step(slices, *sharing_, some) : step(slices, some);
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
