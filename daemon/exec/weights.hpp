// The weights of one slice, in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "daemon/exec/mapped_memory.hpp"
#include "daemon/exec/thread_pool.hpp"
#include "daemon/model/hparams.hpp"
#include "daemon/model/piece.hpp"
#include "daemon/shard/plan.hpp"

namespace shoal::exec {

/// A matrix of a slice, W (rows, cols): quantised ones in panels (kernels/panel.hpp) where the
/// kernels pack them, others in file layout. Column-cut matrices may store a few columns before and
/// after the slice's own, to end on whole groups or blocks: the own ones are
/// [skip, skip + own_cols).
struct Matrix {
    kernels::DType type = kernels::DType::f32;
    bool packed = false;
    const std::byte* data = nullptr;
    std::size_t stride = 0;         ///< file layout: bytes from one row to the next
    std::uint32_t group_begin = 0;  ///< panels: where in a superblock their first column lies
    std::uint32_t rows = 0;
    std::uint32_t cols = 0;
    std::uint32_t skip = 0;
    std::uint32_t own_cols = 0;
};

struct LayerWeights {
    const float* attn_norm = nullptr;  ///< (dim)
    const float* ffn_norm = nullptr;   ///< (dim)
    const float* q_bias = nullptr;     ///< (own q heads * head_dim), null when the model has none
    const float* k_bias = nullptr;     ///< (held KV heads * head_dim)
    const float* v_bias = nullptr;     ///< (held KV heads * head_dim)
    const float* q_norm = nullptr;     ///< (head_dim), null when the model has none
    const float* k_norm = nullptr;     ///< (head_dim)
    Matrix wq, wk, wv;                 ///< (own heads * head_dim, dim)
    Matrix wo;                         ///< (dim, own q heads * head_dim)
    Matrix gate, up;                   ///< (own columns of n_ff, dim)
    Matrix down;                       ///< (dim, own columns of n_ff)
};

/// Immutable and thread-safe after loading.
class SliceWeights {
  public:
    using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

    /// Copy the slice's pieces from `source`, packed as `kernels` like them, on all threads of
    /// `pool`. Throws model::ModelError when a piece is missing, std::bad_alloc when there is no
    /// memory, and whatever `progress` throws (to stop it).
    static SliceWeights load(const model::WeightSource& source, const model::Hparams& hparams,
                             const shard::Slice& slice, const kernels::Table& kernels,
                             ThreadPool& pool, const Progress& progress);

    const std::vector<LayerWeights>& layers() const noexcept { return layers_; }
    const float* output_norm() const noexcept { return output_norm_; }
    const Matrix& output() const noexcept { return output_; }  ///< (own vocabulary rows, dim)
    /// Bytes held for weights.
    std::uint64_t bytes() const noexcept { return bytes_; }

  private:
    class Loader;

    MappedMemory memory_;
    std::uint64_t bytes_ = 0;
    std::vector<LayerWeights> layers_;
    const float* output_norm_ = nullptr;
    Matrix output_;
};

}  // namespace shoal::exec
