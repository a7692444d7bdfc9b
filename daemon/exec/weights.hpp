// The weights of one slice, in memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "daemon/exec/mapped_memory.hpp"
#include "daemon/exec/thread_pool.hpp"
#include "daemon/model/hparams.hpp"
#include "daemon/model/piece.hpp"
#include "daemon/model/tensors.hpp"
#include "daemon/shard/slice.hpp"

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

/// What a slice has of one layer's tensors, or of the model's own; a view into SliceWeights.
class WeightsView {
  public:
    /// A matrix, or the first of several; without rows when the slice has nothing of it.
    const Matrix& operator[](model::Tensor tensor) const noexcept {
        static constexpr Matrix kNothing;
        const std::span<const Matrix> matrices = all(tensor);
        return matrices.empty() ? kNothing : matrices.front();
    }
    /// All matrices of a tensor, one for each expert; none when the slice has nothing of it.
    std::span<const Matrix> all(model::Tensor tensor) const noexcept {
        return matrices_[static_cast<std::size_t>(tensor)];
    }
    /// A norm or bias: (own columns), null when the model has none.
    const float* floats(model::Tensor tensor) const noexcept {
        return reinterpret_cast<const float*>((*this)[tensor].data);
    }

  private:
    friend class SliceWeights;
    std::array<std::span<const Matrix>, model::kTensorCount> matrices_;
};

/// Immutable and thread-safe after loading.
class SliceWeights {
  public:
    using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

    /// Copy the slice's pieces from `source`, packed as `kernels` like them, on all threads of
    /// `pool`. Throws model::ModelError when a piece is missing or cannot be read,
    /// std::bad_alloc when there is no memory, and whatever `progress` throws (to stop it).
    static SliceWeights load(const model::WeightSource& source, const model::Hparams& hparams,
                             const shard::Slice& slice, const kernels::Table& kernels,
                             ThreadPool& pool, const Progress& progress);
    /// The same of these parts, in the memory of weights that are not needed any more where they
    /// fit.
    static SliceWeights load(const model::WeightSource& source, const model::Hparams& hparams,
                             std::span<const shard::SlicePart> parts, const kernels::Table& kernels,
                             ThreadPool& pool, const Progress& progress, SliceWeights instead);

    const WeightsView& layer(std::uint32_t number) const noexcept { return layers_[number]; }
    /// What belongs to no layer.
    const WeightsView& model() const noexcept { return model_; }
    /// Some matrix or router is of floats, and so reads activations as floats.
    bool reads_floats() const noexcept { return reads_floats_; }
    /// Bytes held for weights.
    std::uint64_t bytes() const noexcept { return bytes_; }

  private:
    class Loader;

    MappedMemory memory_;
    std::uint64_t bytes_ = 0;
    bool reads_floats_ = false;
    std::vector<Matrix> matrices_;  // in the order of shard::slice_parts
    std::vector<WeightsView> layers_;
    WeightsView model_;
};

}  // namespace shoal::exec
