#include "daemon/planner/row_sharing.hpp"

#include <algorithm>
#include <cmath>

namespace shoal::planner {
namespace {

// Shares are parts of this.
constexpr double kWhole = 10'000;

// Rows with which every device's speed is that of many.
constexpr double kManyRows = 256;

}  // namespace

std::optional<RowSharing> share_rows(const ModelWork& work, const Cluster& cluster,
                                     std::span<const std::size_t> members,
                                     std::span<const shard::Slice> slices,
                                     std::span<const std::uint64_t> left,
                                     const shard::LayerBytes& layers, const RowTerms& terms) {
    RowSharing out;
    std::vector<double> speeds;
    double all = 0;
    const std::uint64_t least = terms.always ? layers.largest : layers.all;
    const auto share = [&] {
        out.shares.clear();
        for (const double speed : speeds) {
            out.shares.push_back(static_cast<std::uint32_t>(std::lround(kWhole * speed / all)));
        }
    };
    for (std::size_t r = 0; r < members.size(); ++r) {
        const PlanDevice& device = cluster.devices[members[r]];
        const bool can = device.whole_file && left[r] >= least;
        speeds.push_back(can ? 1 / seconds_of(work.layers(), device.profile, kManyRows) : 0);
        all += speeds.back();
    }
    if (all == 0) return std::nullopt;
    share();
    // Who has no room for the buffers of its share has none.
    for (std::size_t r = 0; r < members.size(); ++r) {
        if (speeds[r] == 0 || left[r] - least >= terms.buffers(slices, out.shares, r)) continue;
        all -= speeds[r];
        speeds[r] = 0;
    }
    if (std::all_of(speeds.begin(), speeds.end(), [](double s) { return s == 0; })) {
        return std::nullopt;
    }
    share();
    for (std::size_t r = 0; r < members.size(); ++r) {
        const std::uint64_t buffers = terms.buffers(slices, out.shares, r);
        const std::uint64_t needed = buffers + (out.shares[r] == 0 ? 0 : least);
        if (left[r] < needed) return std::nullopt;
        out.whole_bytes.push_back(out.shares[r] == 0 ? 0 : std::min(left[r] - buffers, layers.all));
    }
    return out;
}

}  // namespace shoal::planner
