// Counters of the data plane.
#pragma once

#include "mesh/exchange/count.hpp"

namespace shoal::mesh {

/// What happened on the data plane since the start. Counts only grow.
struct DataPlaneStats {
    Count malformed;     ///< frames dropped: not a valid frame, or from the wrong rank
    Count foreign;       ///< frames dropped: of another plan
    Count forged;        ///< frames dropped: not sealed by their sender for this place
    Count duplicates;    ///< data that was there already
    Count asked;         ///< resends asked for
    Count resent;        ///< frames sent again
    Count resubscribed;  ///< connections that peers made anew within a plan
};

}  // namespace shoal::mesh
