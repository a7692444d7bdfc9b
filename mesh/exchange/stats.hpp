// Counters of the data plane.
#pragma once

#include <cstdint>

namespace shoal::mesh {

/// What happened on the data plane since the start. Counts only grow.
struct DataPlaneStats {
    std::uint64_t malformed = 0;     ///< frames dropped: not a valid frame, or from the wrong rank
    std::uint64_t foreign = 0;       ///< frames dropped: of another plan
    std::uint64_t forged = 0;        ///< frames dropped: not sealed by their sender for this place
    std::uint64_t duplicates = 0;    ///< data that was there already
    std::uint64_t asked = 0;         ///< resends asked for
    std::uint64_t resent = 0;        ///< frames sent again
    std::uint64_t resubscribed = 0;  ///< connections that peers made anew within a plan
};

}  // namespace shoal::mesh
