// Blocks of the KV cache that a device keeps on its disk, for plans to come.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "daemon/exec/step.hpp"

namespace shoal::exec {

/// Of one slice: a block has the same bits whenever it is computed. Owned by the thread that runs
/// the steps, for which the other devices wait: both return within a few seconds, whatever the disk
/// does, and say how many of the blocks they are done with, from the first on.
class KvDisk {
  public:
    virtual ~KvDisk() = default;
    /// Writes blocks that are not there yet. The first is the text's block `first`.
    virtual std::uint32_t write(std::uint32_t first, std::span<const BlockName> names,
                                std::span<const std::span<std::byte>> blocks) = 0;
    /// Fills the blocks it is done with, and changes none of the others.
    virtual std::uint32_t read(std::uint32_t first, std::span<const BlockName> names,
                               std::span<const std::span<std::byte>> blocks) = 0;
};

}  // namespace shoal::exec
