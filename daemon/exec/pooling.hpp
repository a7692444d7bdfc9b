// A text as one vector: hidden states of its tokens after the model's last norm, pooled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "daemon/exec/step.hpp"

namespace shoal::exec {

/// Whose hidden states are taken.
enum class Pooling : std::uint8_t {
    mean,   ///< the mean of all tokens'
    first,  ///< the first token's
    last,   ///< the last token's
};

/// Collects the hidden states of a text of which steps compute a part each. Sums are float64 in the
/// order of the tokens, so the vector does not depend on how the text was cut into steps.
/// Externally synchronised.
class Pool {
  public:
    Pool(Pooling pooling, std::uint32_t tokens) : pooling_(pooling), tokens_(tokens) {}

    /// Which of the text's tokens [first, first + count) are wanted; of count 0: none.
    RowRange wanted(std::uint32_t first, std::uint32_t count) const noexcept;
    /// What the model makes of the next wanted tokens (rows, dim).
    void add(std::span<const float> states, std::size_t dim);
    /// What was added is forgotten.
    void clear() noexcept { added_ = 0, sum_.clear(); }
    /// The vector as it is, neither normalised nor cut. Requires: all that is wanted was added.
    std::vector<float> vector() const;

  private:
    Pooling pooling_;
    std::uint32_t tokens_;
    std::uint32_t added_ = 0;
    std::vector<double> sum_;
};

}  // namespace shoal::exec
