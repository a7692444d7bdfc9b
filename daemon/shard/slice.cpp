#include "daemon/shard/slice.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace shoal::shard {
namespace {

using model::Axis;
using model::GgufHeader;
using model::Hparams;
using model::ModelTensor;
using model::Piece;
using model::TensorInfo;

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

// What a slice has of a tensor, which is left to be named, or nothing.
std::optional<SlicePart> part_of(const ModelTensor& tensor, kernels::DType type, const Hparams& hp,
                                 const Slice& slice) {
    const model::TensorSpec& spec = *tensor.spec;
    // Embeddings are looked up by the root, which has the table whole.
    if (spec.tensor == model::Tensor::token_embd && !hp.tied_output) return std::nullopt;
    const Range rows = part_of(spec.rows, hp, slice, tensor.layer);
    const Range own = part_of(spec.cols, hp, slice, tensor.layer);
    if (rows.empty() || own.empty()) return std::nullopt;
    const Range stored = stored_columns(type, own);
    return SlicePart{&spec, tensor.layer,    {"", rows.begin, rows.end, stored.begin, stored.end},
                     own,   tensor.matrices, tensor.rows};
}

}  // namespace

Slice whole_slice(const Hparams& hp) noexcept {
    return {{0, hp.n_heads}, {0, hp.n_kv_heads}, {0, hp.n_ff}, {0, hp.n_vocab}};
}

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
        if (auto part = part_of(tensor, header.tensor(tensor.name).type, hp, slice)) {
            part->piece.tensor = std::move(tensor.name);
            out.push_back(std::move(*part));
        }
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

std::vector<std::vector<SlicePart>> whole_layers(const GgufHeader& header, const Hparams& hp) {
    std::vector<std::vector<SlicePart>> layers(hp.n_layers);
    for (SlicePart& part : slice_parts(header, hp, whole_slice(hp))) {
        if (part.spec->scope == model::Scope::layer) layers[part.layer].push_back(std::move(part));
    }
    return layers;
}

std::uint64_t held_bytes(const GgufHeader& header, std::span<const SlicePart> parts) {
    std::uint64_t bytes = 0;
    for (const SlicePart& part : parts) {
        bytes += part.matrices * held_bytes(header.tensor(part.piece.tensor), part);
    }
    return bytes;
}

LayerBytes whole_layer_bytes(const GgufHeader& header, const Hparams& hp) {
    LayerBytes out;
    for (const auto& parts : whole_layers(header, hp)) {
        const std::uint64_t bytes = held_bytes(header, parts);
        out.largest = std::max(out.largest, bytes);
        out.all += bytes;
    }
    return out;
}

bool reads_floats(const SlicePart& part, kernels::DType type) noexcept {
    // Routers are held as floats whatever they are in the file.
    return part.spec->kind == model::Kind::router ||
           (part.spec->kind == model::Kind::matrix && kernels::is_float(type));
}

SliceSizes::SliceSizes(const GgufHeader& header, const Hparams& hp) : hp_(hp) {
    for (ModelTensor& tensor : model::tensors_of(hp)) {
        const TensorInfo& info = header.tensor(tensor.name);
        const auto alike = [&](const Kind& k) {
            return k.tensor.spec == tensor.spec && k.info.type == info.type &&
                   hp.layer_ff[k.tensor.layer] == hp.layer_ff[tensor.layer];
        };
        const auto it = std::find_if(kinds_.begin(), kinds_.end(), alike);
        if (it != kinds_.end()) {
            ++it->count;
        } else {
            kinds_.push_back({std::move(tensor), info, 1});
        }
    }
}

std::uint64_t SliceSizes::weight_bytes(const Slice& slice) const noexcept {
    std::uint64_t bytes = 0;
    for (const Kind& kind : kinds_) {
        if (const auto part = part_of(kind.tensor, kind.info.type, hp_, slice)) {
            bytes += kind.count * part->matrices * held_bytes(kind.info, *part);
        }
    }
    return bytes;
}

std::uint64_t slice_weight_bytes(const GgufHeader& header, const Hparams& hp, const Slice& slice) {
    return SliceSizes(header, hp).weight_bytes(slice);
}

std::uint64_t kv_bytes(const Hparams& hp, const Slice& slice, std::uint64_t positions,
                       std::uint64_t head_bytes) noexcept {
    return std::uint64_t{2} * hp.n_layers * slice.kv_heads.size() * positions * head_bytes;
}

}  // namespace shoal::shard
