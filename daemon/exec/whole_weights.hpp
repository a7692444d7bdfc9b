// The layers of a model whole, for a device that takes some rows through all of each.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "daemon/exec/weights.hpp"

namespace shoal::exec {

/// Layers are held packed as far as memory allows; the others are read and packed anew when they
/// are asked for after another one, from a file that the system keeps in memory as long as nobody
/// needs that for something else. Owned by the thread that runs the steps; all arguments of load()
/// outlive it.
class WholeWeights {
  public:
    /// Holds first layers of up to `memory_bytes`, besides room for one that is read. Throws as
    /// SliceWeights::load.
    static WholeWeights load(const model::WeightSource& source, const model::Hparams& hparams,
                             const kernels::Table& kernels, ThreadPool& pool,
                             std::uint64_t memory_bytes, const SliceWeights::Progress& progress);

    /// Valid until the next call. Throws as SliceWeights::load.
    const WeightsView& layer(std::uint32_t number);

    std::uint32_t held_layers() const noexcept { return static_cast<std::uint32_t>(held_.size()); }
    /// Bytes held, with the room for a layer that is read.
    std::uint64_t bytes() const noexcept;
    bool reads_floats() const noexcept { return reads_floats_; }

  private:
    WholeWeights(const model::WeightSource& source, const model::Hparams& hparams,
                 const kernels::Table& kernels, ThreadPool& pool) noexcept
        : source_(source), hp_(hparams), kernels_(kernels), pool_(pool) {}

    const model::WeightSource& source_;
    const model::Hparams& hp_;
    const kernels::Table& kernels_;
    ThreadPool& pool_;
    std::vector<std::vector<shard::SlicePart>> parts_;  // of each layer
    std::vector<SliceWeights> held_;                    // the first layers
    SliceWeights read_;                                 // the layer that was read last
    std::optional<std::uint32_t> read_number_;          // which one that is
    bool reads_floats_ = false;
};

}  // namespace shoal::exec
