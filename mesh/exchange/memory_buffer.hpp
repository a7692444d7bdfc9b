// The frames of ports that stay within a process.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "mesh/exchange/port.hpp"

namespace shoal::mesh::exchange {

/// Begins at an odd address on purpose: a network frame has no alignment either, and a caller that
/// assumes one is to fail here, under the sanitizers, and not on a board.
class MemoryBuffer final : public Buffer {
  public:
    explicit MemoryBuffer(std::size_t size)
        : memory_(std::make_unique_for_overwrite<std::byte[]>(size + 1)) {
        bytes = {memory_.get() + 1, size};
    }

  private:
    std::unique_ptr<std::byte[]> memory_;
};

}  // namespace shoal::mesh::exchange
