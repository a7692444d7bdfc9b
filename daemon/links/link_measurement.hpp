// What a link between two devices does, measured by the two over an exchange of theirs.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

#include "mesh/exchange/exchange.hpp"

namespace shoal {

/// A link as the exchange's rank 0 finds it.
struct LinkFigures {
    double exchange_seconds = 0;  ///< both send each other kSmallBytes at once, and have them
    double out_bytes_per_second = 0, in_bytes_per_second = 0;  ///< to rank 1, and from it
    bool operator==(const LinkFigures&) const = default;
};

struct LinkMeasurement {
    /// A row of partial sums of a small model.
    static constexpr std::size_t kSmallBytes = 2048;
    /// Small exchanges, the median of which counts, and how long at most more are begun.
    static constexpr int kExchanges = 52;
    static constexpr std::chrono::milliseconds kExchangesTime{300};
    /// Bursts grow from the least until one takes kBurstTime, or to the most. No more are begun
    /// when all together took kBurstsTime, but one each way is.
    static constexpr std::size_t kLeastBurst = 32u << 10, kMostBurst = 1u << 20;
    static constexpr std::chrono::milliseconds kBurstTime{4}, kBurstsTime{50};

    std::optional<LinkFigures> figures;  ///< on rank 0, when all went well
    std::string error;                   ///< empty: all went well
};

/// Called by both devices of an exchange of two, as its first calls. Takes about a tenth of a
/// second on a local network, most of it waiting. Rank 0 says what is done next, so the two need
/// not agree on numbers.
LinkMeasurement measure_link(mesh::Exchange& exchange);

}  // namespace shoal
