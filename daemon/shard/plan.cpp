#include "daemon/shard/plan.hpp"

#include <algorithm>
#include <cmath>

#include "daemon/shard/head_cut.hpp"

namespace shoal::shard {
namespace {

using model::Axis;
using model::GgufHeader;
using model::Hparams;
using model::ModelTensor;
using model::Piece;
using model::TensorInfo;

// Rounds of shrinking the shares of devices that lack memory before giving up.
constexpr int kMemoryRounds = 64;

double mib(std::uint64_t bytes) {
    return static_cast<double>(bytes) / (1 << 20);
}

std::string fixed1(double value) {
    const auto tenths = static_cast<std::uint64_t>(std::llround(value * 10));
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10);
}

// Bytes of a matrix for each element along an axis.
double bytes_along(Axis axis, const ModelTensor& tensor, const TensorInfo& info) {
    if (tensor.spec->rows == axis) return static_cast<double>(info.bytes) / tensor.rows;
    if (tensor.spec->cols == axis) return static_cast<double>(info.bytes) / tensor.cols;
    return 0;
}

// The work that one head costs is what its part of the first layer's matrices takes.
HeadCost head_cost(const GgufHeader& header, const Hparams& hp) {
    HeadCost cost{0, 0};
    for (const ModelTensor& tensor : model::tensors_of(hp)) {
        if (tensor.layer != 0 || tensor.spec->kind != model::Kind::matrix) continue;
        const TensorInfo& info = header.tensor(tensor.name);
        cost.query += bytes_along(Axis::q_heads, tensor, info);
        cost.kv += bytes_along(Axis::kv_heads, tensor, info);
    }
    return {hp.head_dim * cost.query, hp.head_dim * cost.kv};
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

// What a slice has along an axis, in elements.
Range part_of(Axis axis, const Hparams& hp, const Slice& slice, std::uint32_t layer) {
    const auto elements = [&](Range heads) {
        return Range{heads.begin * hp.head_dim, heads.end * hp.head_dim};
    };
    switch (axis) {
        case Axis::q_heads:
            return elements(slice.q_heads);
        case Axis::kv_heads:
            return elements(slice.kv_heads);
        case Axis::ffn:
            return ffn_columns(hp, slice.ffn, layer);
        case Axis::vocab:
            return slice.vocab;
        case Axis::one:
        case Axis::width:
        case Axis::head:
        case Axis::experts:
            break;
    }
    return {0, model::length(axis, hp, layer)};
}

std::uint64_t needed_bytes(const GgufHeader& header, const Hparams& hp, const Slice& slice,
                           const Device& device, const Demand& demand) {
    std::uint64_t bytes = slice_weight_bytes(header, hp, slice) + demand.buffer_bytes +
                          kv_bytes(hp, slice, demand.kv_positions, demand.kv_head_bytes);
    if (device.embedding) bytes += header.tensor(model::tensor_name::kEmbedding).bytes;
    return bytes;
}

}  // namespace

Range ffn_columns(const Hparams& hp, Range ffn, std::uint32_t layer) noexcept {
    const std::uint32_t columns = hp.layer_ff[layer];
    if (columns == hp.n_ff) return ffn;
    const auto border = [&](std::uint32_t at) {
        if (at == hp.n_ff) return columns;
        const std::uint64_t even = std::uint64_t{at} * columns / hp.n_ff;
        return static_cast<std::uint32_t>(even / kernels::kActivationBlock *
                                          kernels::kActivationBlock);
    };
    return {border(ffn.begin), border(ffn.end)};
}

std::uint32_t ffn_cut_step(const GgufHeader& header, const Hparams& hp) {
    for (const ModelTensor& tensor : model::tensors_of(hp)) {
        if (tensor.spec->cols != Axis::ffn) continue;
        if (!kernels::is_float(header.tensor(tensor.name).type)) return kernels::kActivationBlock;
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

Piece SlicePart::piece_of(std::uint32_t matrix) const {
    Piece of = piece;
    const std::uint64_t before = std::uint64_t{matrix} * matrix_rows;
    of.row_begin += before;
    of.row_end += before;
    return of;
}

std::vector<SlicePart> slice_parts(const GgufHeader& header, const Hparams& hp,
                                   const Slice& slice) {
    std::vector<SlicePart> out;
    for (ModelTensor& tensor : model::tensors_of(hp)) {
        const model::TensorSpec& spec = *tensor.spec;
        // Embeddings are looked up by the root, which has the table whole.
        if (spec.tensor == model::Tensor::token_embd && !hp.tied_output) continue;
        const Range rows = part_of(spec.rows, hp, slice, tensor.layer);
        const Range own = part_of(spec.cols, hp, slice, tensor.layer);
        if (rows.empty() || own.empty()) continue;
        const Range stored = stored_columns(header.tensor(tensor.name).type, own);
        out.push_back({&spec,
                       tensor.layer,
                       {std::move(tensor.name), rows.begin, rows.end, stored.begin, stored.end},
                       own,
                       tensor.matrices,
                       tensor.rows});
    }
    return out;
}

std::vector<Piece> slice_pieces(const GgufHeader& header, const Hparams& hp, const Slice& slice) {
    std::vector<Piece> out;
    for (const SlicePart& part : slice_parts(header, hp, slice)) {
        for (std::uint32_t m = 0; m < part.matrices; ++m) out.push_back(part.piece_of(m));
    }
    return out;
}

std::uint64_t held_bytes(const TensorInfo& info, const SlicePart& part) noexcept {
    const Piece& piece = part.piece;
    if (part.spec->kind != model::Kind::matrix) {
        const std::uint64_t rows = piece.row_end - piece.row_begin;
        return rows * (piece.col_end - piece.col_begin) * sizeof(float);
    }
    if (kernels::is_float(info.type)) return model::piece_bytes(info, piece);
    const Range groups = part.own_groups();
    return model::packed_piece_bytes(info, piece, groups.begin, groups.end);
}

std::uint64_t slice_weight_bytes(const GgufHeader& header, const Hparams& hp, const Slice& slice) {
    std::uint64_t bytes = 0;
    for (const SlicePart& part : slice_parts(header, hp, slice)) {
        bytes += part.matrices * held_bytes(header.tensor(part.piece.tensor), part);
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
            complaint += (complaint.empty() ? "" : "; ") + devices[r].name + " needs " +
                         fixed1(mib(need)) + " MiB (weights " +
                         fixed1(mib(slice_weight_bytes(header, hp, slices[r]))) +
                         ", KV cache and buffers included) of " + fixed1(mib(have)) + " MiB";
        }
        if (complaint.empty()) return slices;
    }
    throw PlanError(
        hp.name + " does not fit: " + complaint +
        ". Use a smaller context (models.context), a smaller model, or devices with more "
        "memory.");
}

}  // namespace shoal::shard
