#include "daemon/shard/head_cut.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace shoal::shard {
namespace {

// A cut across a KV head must shorten the longest share by this factor to be worth its
// redundant KV head, which also costs cache memory.
constexpr double kStraddleGain = 0.99;

// Rounding slack when shares are compared with the best longest one.
constexpr double kSlack = 1 + 1e-9;

struct HeadCutter {
    std::uint32_t n_heads;
    std::uint32_t group;
    HeadCost cost;
    std::span<const double> speeds;
    std::uint32_t step;  // cuts fall on multiples of this

    double time(std::size_t rank, std::uint32_t begin, std::uint32_t end) const {
        const Range kv = kv_heads_of({begin, end}, group);
        return ((end - begin) * cost.query + kv.size() * cost.kv) / speeds[rank];
    }

    // Minimises, over contiguous cuts, the value accumulated by `combine` along the ranks.
    // best[r][h]: the first r ranks hold heads [0, h). O(ranks x heads^2), heads <= a few hundred.
    template <typename Combine>
    std::vector<Range> solve(double start, Combine combine, double* value) const {
        const std::uint32_t points = n_heads / step + 1;
        const std::size_t ranks = speeds.size();
        const double inf = std::numeric_limits<double>::infinity();
        std::vector<double> best(points, inf);
        std::vector<std::vector<std::uint32_t>> from(ranks, std::vector<std::uint32_t>(points, 0));
        best[0] = start;
        for (std::size_t r = 0; r < ranks; ++r) {
            std::vector<double> next(points, inf);
            for (std::uint32_t e = 0; e < points; ++e) {
                for (std::uint32_t b = 0; b <= e; ++b) {
                    if (best[b] == inf) continue;
                    const double v = combine(best[b], time(r, b * step, e * step));
                    // On a tie the later begin wins: heads go to the earlier ranks first.
                    if (v <= next[e] && v < inf) {
                        next[e] = v;
                        from[r][e] = b;
                    }
                }
            }
            best = std::move(next);
        }
        *value = best[points - 1];
        std::vector<Range> cut(ranks);
        std::uint32_t end = points - 1;
        for (std::size_t r = ranks; r-- > 0;) {
            cut[r] = {from[r][end] * step, end * step};
            end = from[r][end];
        }
        return cut;
    }

    double shortest_longest() const {
        double longest = 0;
        solve(
            0.0, [](double a, double t) { return std::max(a, t); }, &longest);
        return longest;
    }

    // The evenest cut (least sum of squares) whose longest share is within `longest`.
    std::vector<Range> evenest(double longest) const {
        double unused = 0;
        return solve(
            0.0,
            [longest](double a, double t) {
                return t > longest * kSlack ? std::numeric_limits<double>::infinity() : a + t * t;
            },
            &unused);
    }
};

}  // namespace

Range kv_heads_of(Range q_heads, std::uint32_t group) noexcept {
    if (q_heads.empty()) return {};
    return {q_heads.begin / group, (q_heads.end + group - 1) / group};
}

std::vector<Range> cut_heads(std::uint32_t n_heads, std::uint32_t group, HeadCost cost,
                             std::span<const double> speeds) {
    const HeadCutter aligned{n_heads, group, cost, speeds, group};
    const HeadCutter any{n_heads, group, cost, speeds, 1};
    const double aligned_longest = aligned.shortest_longest();
    const double any_longest = any.shortest_longest();
    return any_longest < aligned_longest * kStraddleGain ? any.evenest(any_longest)
                                                         : aligned.evenest(aligned_longest);
}

std::vector<Range> cut_units(std::uint32_t units, std::span<const double> speeds) {
    const double total = std::accumulate(speeds.begin(), speeds.end(), 0.0);
    std::vector<Range> cut(speeds.size());
    double sum = 0;
    std::uint32_t begin = 0;
    for (std::size_t r = 0; r < speeds.size(); ++r) {
        sum += speeds[r];
        const auto end = r + 1 == speeds.size()
                             ? units
                             : static_cast<std::uint32_t>(std::lround(units * (sum / total)));
        cut[r] = {begin, std::clamp(end, begin, units)};
        begin = cut[r].end;
    }
    return cut;
}

}  // namespace shoal::shard
