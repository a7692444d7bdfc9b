#include "daemon/shard/plan.hpp"

#include <algorithm>
#include <cmath>

#include "daemon/shard/head_cut.hpp"

namespace shoal::shard {
namespace {

using model::GgufHeader;
using model::Hparams;
using model::Piece;
using model::TensorInfo;
using model::tensor_name::layer;

// Rounds of shrinking the shares of devices that lack memory before giving up.
constexpr int kMemoryRounds = 64;

double mib(std::uint64_t bytes) {
    return static_cast<double>(bytes) / (1 << 20);
}

std::string fixed1(double value) {
    const auto tenths = static_cast<std::uint64_t>(std::llround(value * 10));
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10);
}

// Bytes of one row of a layer tensor: the work that one head row or FFN row costs.
double bytes_per_row(const GgufHeader& header, std::string_view part) {
    const TensorInfo& info = header.tensor(layer(0, part));
    return static_cast<double>(info.bytes) / static_cast<double>(info.rows);
}

HeadCost head_cost(const GgufHeader& header, const Hparams& hp) {
    const TensorInfo& wo = header.tensor(layer(0, "attn_output.weight"));
    const double wo_column = static_cast<double>(wo.bytes) / static_cast<double>(wo.cols);
    return {hp.head_dim * (bytes_per_row(header, "attn_q.weight") + wo_column),
            hp.head_dim *
                (bytes_per_row(header, "attn_k.weight") + bytes_per_row(header, "attn_v.weight"))};
}

// Columns that FFN cuts lie on: where any is possible, as coarse as leaves every device some.
std::uint32_t ffn_granularity(const GgufHeader& header, const Hparams& hp, std::size_t devices) {
    std::uint32_t step = kernels::kActivationBlock;
    if (ffn_cut_step(header, hp) == step) return step;
    while (step > 1 && (hp.n_ff % step != 0 || hp.n_ff / step < 8 * devices)) step /= 2;
    return step;
}

std::vector<Slice> cut_by_speed(const GgufHeader& header, const Hparams& hp,
                                std::span<const double> speeds) {
    // Devices beyond n_heads hold FFN and vocabulary shares only.
    const std::size_t with_heads = std::min<std::size_t>(speeds.size(), hp.n_heads);
    const auto heads =
        cut_heads(hp.n_heads, hp.group(), head_cost(header, hp), speeds.subspan(0, with_heads));
    const std::uint32_t step = ffn_granularity(header, hp, speeds.size());
    const auto ffn = cut_units((hp.n_ff + step - 1) / step, speeds);
    const auto vocab = cut_units(hp.n_vocab, speeds);
    std::vector<Slice> slices(speeds.size());
    for (std::size_t r = 0; r < slices.size(); ++r) {
        if (r < with_heads) slices[r].q_heads = heads[r];
        slices[r].kv_heads = kv_heads_of(slices[r].q_heads, hp.group());
        slices[r].ffn = {std::min(ffn[r].begin * step, hp.n_ff),
                         std::min(ffn[r].end * step, hp.n_ff)};
        slices[r].vocab = vocab[r];
    }
    return slices;
}

SlicePart row_cut(const TensorInfo& info, std::uint64_t begin, std::uint64_t end) {
    return {{info.name, begin, end, 0, info.cols}, {0, static_cast<std::uint32_t>(info.cols)}};
}

void add_layer_parts(const GgufHeader& header, const Hparams& hp, const Slice& slice,
                     std::uint32_t l, std::vector<SlicePart>& out) {
    const auto rows = [&](std::string_view part, std::uint64_t begin, std::uint64_t end) {
        const TensorInfo& info = header.tensor(layer(l, part));
        if (begin != end) out.push_back(row_cut(info, begin, end));
    };
    const auto columns = [&](std::string_view part, std::uint32_t begin, std::uint32_t end) {
        const TensorInfo& info = header.tensor(layer(l, part));
        const Range stored = stored_columns(info.type, {begin, end});
        if (begin == end) return;
        out.push_back({{info.name, 0, info.rows, stored.begin, stored.end}, {begin, end}});
    };
    const std::uint32_t hd = hp.head_dim;
    const Range q{slice.q_heads.begin * hd, slice.q_heads.end * hd};
    const Range kv{slice.kv_heads.begin * hd, slice.kv_heads.end * hd};
    const auto all = [&](std::string_view part) {
        const TensorInfo& info = header.tensor(layer(l, part));
        out.push_back(row_cut(info, 0, info.rows));
    };
    all("attn_norm.weight");
    all("ffn_norm.weight");
    rows("attn_q.weight", q.begin, q.end);
    rows("attn_k.weight", kv.begin, kv.end);
    rows("attn_v.weight", kv.begin, kv.end);
    if (hp.qkv_bias) {
        columns("attn_q.bias", q.begin, q.end);
        columns("attn_k.bias", kv.begin, kv.end);
        columns("attn_v.bias", kv.begin, kv.end);
    }
    if (hp.qk_norm) {
        all("attn_q_norm.weight");
        all("attn_k_norm.weight");
    }
    columns("attn_output.weight", q.begin, q.end);
    rows("ffn_gate.weight", slice.ffn.begin, slice.ffn.end);
    rows("ffn_up.weight", slice.ffn.begin, slice.ffn.end);
    columns("ffn_down.weight", slice.ffn.begin, slice.ffn.end);
}

std::uint64_t needed_bytes(const GgufHeader& header, const Hparams& hp, const Slice& slice,
                           const Device& device, const Demand& demand) {
    std::uint64_t bytes = slice_weight_bytes(header, hp, slice) + demand.buffer_bytes +
                          kv_bytes(hp, slice, demand.kv_positions, demand.kv_head_bytes);
    if (device.embedding) bytes += header.tensor(model::tensor_name::kEmbedding).bytes;
    return bytes;
}

}  // namespace

std::uint32_t ffn_cut_step(const GgufHeader& header, const Hparams& hp) {
    for (std::uint32_t l = 0; l < hp.n_layers; ++l) {
        if (!kernels::is_float(header.tensor(layer(l, "ffn_down.weight")).type)) {
            return kernels::kActivationBlock;
        }
    }
    return 1;
}

Range stored_columns(kernels::DType type, Range own) noexcept {
    const std::uint32_t block = kernels::block_shape(type).elements;
    return {own.begin / block * block, (own.end + block - 1) / block * block};
}

Range SlicePart::own_groups() const noexcept {
    const auto first = static_cast<std::uint32_t>(piece.col_begin);
    const std::uint32_t group = kernels::kActivationBlock;
    return {(own.begin - first) / group, (own.end - first + group - 1) / group};
}

std::vector<SlicePart> slice_parts(const GgufHeader& header, const Hparams& hp,
                                   const Slice& slice) {
    std::vector<SlicePart> out;
    for (std::uint32_t l = 0; l < hp.n_layers; ++l) add_layer_parts(header, hp, slice, l, out);
    const TensorInfo& norm = header.tensor(model::tensor_name::kOutputNorm);
    out.push_back(row_cut(norm, 0, norm.rows));
    if (!slice.vocab.empty()) {
        const TensorInfo& head = header.tensor(hp.tied_output ? model::tensor_name::kEmbedding
                                                              : model::tensor_name::kOutput);
        out.push_back(row_cut(head, slice.vocab.begin, slice.vocab.end));
    }
    return out;
}

std::vector<Piece> slice_pieces(const GgufHeader& header, const Hparams& hp, const Slice& slice) {
    std::vector<Piece> out;
    for (SlicePart& part : slice_parts(header, hp, slice)) out.push_back(std::move(part.piece));
    return out;
}

std::uint64_t held_bytes(const TensorInfo& info, const SlicePart& part) noexcept {
    const Piece& piece = part.piece;
    if (info.rows == 1) return (piece.col_end - piece.col_begin) * sizeof(float);
    if (kernels::is_float(info.type)) return model::piece_bytes(info, piece);
    const Range groups = part.own_groups();
    return model::packed_piece_bytes(info, piece, groups.begin, groups.end);
}

std::uint64_t slice_weight_bytes(const GgufHeader& header, const Hparams& hp, const Slice& slice) {
    std::uint64_t bytes = 0;
    for (const SlicePart& part : slice_parts(header, hp, slice)) {
        bytes += held_bytes(header.tensor(part.piece.tensor), part);
    }
    return bytes;
}

std::uint64_t kv_bytes(const Hparams& hp, const Slice& slice, std::uint64_t positions,
                       std::uint64_t head_bytes) noexcept {
    return std::uint64_t{2} * hp.n_layers * slice.kv_heads.size() * positions * head_bytes;
}

std::vector<Slice> make_plan(const GgufHeader& header, const Hparams& hp,
                             std::span<const Device> devices, const Demand& demand) {
    if (devices.empty()) throw PlanError("no devices to plan for");
    std::vector<double> speeds;
    for (const Device& device : devices) speeds.push_back(std::max(device.speed, 1e-9));

    // Shares follow speed; a device that would exceed its memory is treated as slower until it
    // fits, which moves its work to the others.
    std::string complaint;
    for (int round = 0; round < kMemoryRounds; ++round) {
        std::vector<Slice> slices = cut_by_speed(header, hp, speeds);
        complaint.clear();
        for (std::size_t r = 0; r < devices.size(); ++r) {
            const std::uint64_t need = needed_bytes(header, hp, slices[r], devices[r], demand);
            const std::uint64_t have = devices[r].memory_bytes;
            if (have == 0 || need <= have) continue;
            speeds[r] *= 0.97 * static_cast<double>(have) / static_cast<double>(need);
            complaint += (complaint.empty() ? "rank " : "; rank ") + std::to_string(r) + " needs " +
                         fixed1(mib(need)) + " MiB (weights " +
                         fixed1(mib(slice_weight_bytes(header, hp, slices[r]))) +
                         ", KV cache and buffers included) of " + fixed1(mib(have)) + " MiB";
        }
        if (complaint.empty()) return slices;
    }
    throw PlanError(hp.name + " does not fit: " + complaint +
                    ". Use a smaller context, a smaller model or more devices.");
}

}  // namespace shoal::shard
