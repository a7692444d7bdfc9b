// A device's part of a model, as offers and status name it.
#pragma once

#include <cstdint>

namespace shoal::mesh::messages {

/// Half-open range of heads, columns or rows; may be empty.
struct Range {
    std::uint32_t begin = 0, end = 0;
    bool operator==(const Range&) const = default;
};

/// The ranges of daemon/shard's slice, by the same names.
struct Slice {
    Range q_heads, kv_heads, ffn, vocab;
    bool operator==(const Slice&) const = default;
};

}  // namespace shoal::mesh::messages
