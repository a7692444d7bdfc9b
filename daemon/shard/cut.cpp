#include "daemon/shard/cut.hpp"

#include <algorithm>
#include <cmath>

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
    HeadBytes bytes;
    std::span<const HeadShare> shares;
    std::uint32_t step;  // cuts fall on multiples of this

    double time(std::size_t rank, std::uint32_t begin, std::uint32_t end) const {
        const HeadShare& share = shares[rank];
        const Range kv = kv_heads_of({begin, end}, group);
        if ((end - begin) * bytes.query + kv.size() * bytes.kv > share.bytes) return kNoLimit;
        return (end - begin) * share.query + kv.size() * share.kv;
    }

    // Minimises, over contiguous cuts, the value accumulated by `combine` along the ranks.
    // best[r][h]: the first r ranks hold heads [0, h). O(ranks x heads^2), heads <= a few hundred.
    template <typename Combine>
    std::vector<Range> solve(Combine combine, double* value) const {
        const std::uint32_t points = n_heads / step + 1;
        const std::size_t ranks = shares.size();
        std::vector<double> best(points, kNoLimit);
        std::vector<std::vector<std::uint32_t>> from(ranks, std::vector<std::uint32_t>(points, 0));
        best[0] = 0;
        for (std::size_t r = 0; r < ranks; ++r) {
            std::vector<double> next(points, kNoLimit);
            for (std::uint32_t e = 0; e < points; ++e) {
                for (std::uint32_t b = 0; b <= e; ++b) {
                    if (best[b] == kNoLimit) continue;
                    const double v = combine(best[b], time(r, b * step, e * step));
                    // On a tie the later begin wins: heads go to the earlier ranks first.
                    if (v <= next[e] && v < kNoLimit) {
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
        solve([](double a, double t) { return std::max(a, t); }, &longest);
        return longest;
    }

    // The evenest cut (least sum of squares) whose longest share is within `longest`.
    std::vector<Range> evenest(double longest) const {
        double unused = 0;
        return solve(
            [longest](double a, double t) { return t > longest * kSlack ? kNoLimit : a + t * t; },
            &unused);
    }
};

}  // namespace

Range kv_heads_of(Range q_heads, std::uint32_t group) noexcept {
    if (q_heads.empty()) return {};
    return {q_heads.begin / group, (q_heads.end + group - 1) / group};
}

std::optional<std::vector<Range>> cut_heads(std::uint32_t n_heads, std::uint32_t group,
                                            HeadBytes bytes, std::span<const HeadShare> shares) {
    const HeadCutter aligned{n_heads, group, bytes, shares, group};
    const HeadCutter any{n_heads, group, bytes, shares, 1};
    const double aligned_longest = aligned.shortest_longest();
    const double any_longest = any.shortest_longest();
    if (any_longest == kNoLimit) return std::nullopt;
    return any_longest < aligned_longest * kStraddleGain ? any.evenest(any_longest)
                                                         : aligned.evenest(aligned_longest);
}

std::optional<std::vector<Range>> cut_units(std::uint32_t units,
                                            std::span<const UnitShare> shares) {
    // In proportion to speed, first whoever reaches its limit, then the others with what is left.
    std::vector<std::uint32_t> dealt(shares.size());
    std::vector<bool> full(shares.size());
    std::uint32_t left = units;
    for (bool again = true; again;) {
        again = false;
        double speed = 0;
        for (std::size_t r = 0; r < shares.size(); ++r) {
            if (!full[r]) speed += 1 / shares[r].time;
        }
        const std::uint32_t among = left;
        for (std::size_t r = 0; r < shares.size(); ++r) {
            if (full[r]) continue;
            const auto share = static_cast<std::uint32_t>(among / (speed * shares[r].time));
            dealt[r] = share;
            if (share < shares[r].most) continue;
            dealt[r] = shares[r].most;
            left -= dealt[r];
            full[r] = again = true;
            if (share > shares[r].most) break;  // The others' part has grown.
        }
    }
    for (std::size_t r = 0; r < shares.size(); ++r) {
        if (!full[r]) left -= dealt[r];
    }
    // What rounding left over, one by one to whoever is done with one more soonest.
    for (; left > 0; --left) {
        std::size_t best = shares.size();
        for (std::size_t r = 0; r < shares.size(); ++r) {
            if (dealt[r] >= shares[r].most) continue;
            if (best == shares.size() ||
                (dealt[r] + 1) * shares[r].time < (dealt[best] + 1) * shares[best].time) {
                best = r;
            }
        }
        if (best == shares.size()) return std::nullopt;
        ++dealt[best];
    }
    std::vector<Range> cut(shares.size());
    std::uint32_t begin = 0;
    for (std::size_t r = 0; r < shares.size(); ++r) {
        cut[r] = {begin, begin + dealt[r]};
        begin = cut[r].end;
    }
    return cut;
}

}  // namespace shoal::shard
