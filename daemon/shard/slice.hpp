// Slices: which part of a model a device computes, and what it has to hold for that.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "daemon/model/hparams.hpp"
#include "daemon/model/piece.hpp"
#include "daemon/model/tensors.hpp"

namespace shoal::shard {

/// Half-open range of heads, columns or rows; may be empty.
struct Range {
    std::uint32_t begin = 0;
    std::uint32_t end = 0;
    std::uint32_t size() const noexcept { return end - begin; }
    bool empty() const noexcept { return begin == end; }
    bool operator==(const Range&) const = default;
};

/// One device's part of the model. Any of the ranges may be empty.
struct Slice {
    Range q_heads;   ///< query heads: rows of wq, columns of wo
    Range kv_heads;  ///< every KV head that those query heads read, and nothing else
    Range ffn;       ///< columns of the widest layer's FFN, see ffn_columns
    Range vocab;     ///< rows of the LM head
    bool operator==(const Slice&) const = default;
};

/// All of a model.
Slice whole_slice(const model::Hparams& hparams) noexcept;

/// The FFN columns of a layer that go with a range of the widest layer's: rows of gate and up,
/// columns of down. Narrower layers are cut in proportion, on multiples of 32.
Range ffn_columns(const model::Hparams& hparams, Range ffn, std::uint32_t layer) noexcept;

/// Columns that FFN cuts must lie on: a block of activations when a layer's w_down is quantised.
std::uint32_t ffn_cut_step(const model::GgufHeader& header, const model::Hparams& hparams);

/// What a slice has of a tensor, and the columns of it that the slice computes with. Column cuts
/// keep the pieces on whole blocks: the columns outside their own are multiplied by zeros.
struct SlicePart {
    const model::TensorSpec* spec;
    std::uint32_t layer;                  ///< 0 for the model's own
    model::Piece piece;                   ///< of the tensor's first matrix
    Range own;                            ///< columns of the tensor
    std::uint32_t matrices, matrix_rows;  ///< how many of how many rows: all are cut alike

    /// The piece of one of the matrices.
    model::Piece piece_of(std::uint32_t matrix) const;

    /// The groups of 32 columns, counted from the piece's first, that have own columns.
    Range own_groups() const noexcept;
};

/// The parts that a device with this slice loads, in the order of model/tensors.hpp.
std::vector<SlicePart> slice_parts(const model::GgufHeader& header, const model::Hparams& hparams,
                                   const Slice& slice);

/// Their pieces.
std::vector<model::Piece> slice_pieces(const model::GgufHeader& header,
                                       const model::Hparams& hparams, const Slice& slice);

/// Bytes that a device takes to hold one matrix of a part: quantised matrices packed
/// (kernels/panel.hpp), other matrices as the file has them, what is no matrix as f32.
std::uint64_t held_bytes(const model::TensorInfo& info, const SlicePart& part) noexcept;

/// The parts of each layer, whole.
std::vector<std::vector<SlicePart>> whole_layers(const model::GgufHeader& header,
                                                 const model::Hparams& hparams);

/// Bytes that a device takes to hold these parts.
std::uint64_t held_bytes(const model::GgufHeader& header, std::span<const SlicePart> parts);

/// Of layers that are held whole.
struct LayerBytes {
    std::uint64_t largest = 0, all = 0;
};
LayerBytes whole_layer_bytes(const model::GgufHeader& header, const model::Hparams& hparams);

/// Whether a part, of a tensor of this type, is multiplied with activations as floats.
bool reads_floats(const SlicePart& part, kernels::DType type) noexcept;

/// What slices of one model hold, to be asked often. Thread-safe; the hyperparameters outlive it.
class SliceSizes {
  public:
    SliceSizes(const model::GgufHeader& header, const model::Hparams& hparams);
    /// Bytes held for all parts of a slice.
    std::uint64_t weight_bytes(const Slice& slice) const noexcept;

  private:
    /// Tensors of several layers that are cut alike.
    struct Kind {
        model::ModelTensor tensor;
        model::TensorInfo info;
        std::uint64_t count;
    };
    const model::Hparams& hp_;
    std::vector<Kind> kinds_;
};

/// Bytes held for all parts of a slice.
std::uint64_t slice_weight_bytes(const model::GgufHeader& header, const model::Hparams& hparams,
                                 const Slice& slice);

/// 2 x layers x held KV heads x positions x bytes of one head at one position.
std::uint64_t kv_bytes(const model::Hparams& hparams, const Slice& slice, std::uint64_t positions,
                       std::uint64_t head_bytes) noexcept;

/// The columns of wo (or of w_down) that a slice stores: its own, widened to whole blocks.
/// The columns outside its own are multiplied by zeros.
Range stored_columns(kernels::DType type, Range own) noexcept;

}  // namespace shoal::shard
