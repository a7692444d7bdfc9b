// The slice plan: who computes which part of a model. A pure function of model and devices.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
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

/// What the planner knows of a device, in rank order.
struct Device {
    std::string name;                ///< for messages
    double speed = 1;                ///< relative; weight bytes per second when measured
    std::uint64_t memory_bytes = 0;  ///< what slice, KV cache and buffers may take; 0: no limit
    bool embedding = false;          ///< must hold the embedding table as well (a root)
};

/// What the slices must leave room for besides weights.
struct Demand {
    std::uint64_t kv_positions = 0;   ///< positions of KV cache
    std::uint64_t kv_head_bytes = 0;  ///< K (or V) of one head at one position
    std::uint64_t buffer_bytes = 0;   ///< activations and the like, per device
};

/// A model that does not fit the devices: the message has the numbers.
class PlanError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// Cut the model among the devices. Each query head, FFN column and LM-head row belongs to
/// exactly one device. Devices beyond n_heads are spare: their slice has no heads.
/// Throws PlanError when a device's memory would be exceeded whatever the cut.
std::vector<Slice> make_plan(const model::GgufHeader& header, const model::Hparams& hparams,
                             std::span<const Device> devices, const Demand& demand);

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
