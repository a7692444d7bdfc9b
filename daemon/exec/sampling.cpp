#include "daemon/exec/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace shoal::exec {
namespace {

// A nucleus or min_p set is usually smaller than this; a larger one costs one further request.
constexpr std::uint32_t kFilterCandidates = 128;

bool better(const Candidate& a, const Candidate& b) noexcept {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every input bit moves every output bit.
std::uint64_t mix(std::uint64_t z) noexcept {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

bool penalises(const ScoreRequest& r) noexcept {
    return r.repeat_penalty != 1 || r.presence_penalty != 0 || r.frequency_penalty != 0;
}

// The candidates' number that survives top_k, top_p and min_p, or -1 when it may be more than
// are at hand.
std::ptrdiff_t kept(const Scores& scores, const Sampling& s, std::uint32_t n_vocab) noexcept {
    const std::vector<Candidate>& best = scores.best;
    const bool all_here = best.size() >= n_vocab;
    std::size_t keep = best.size();
    bool closed = all_here;
    double mass = scores.sum_exp;  // of the set that top_p refers to, relative to exp(max)
    if (s.top_k != 0 && s.top_k <= best.size()) {
        keep = s.top_k;
        closed = true;
        mass = 0;
        for (std::size_t i = 0; i < keep; ++i) {
            mass += std::exp(static_cast<double>(best[i].logit) - scores.max);
        }
    }
    if (s.top_p < 1) {
        double sum = 0;
        for (std::size_t i = 0; i < keep; ++i) {
            sum += std::exp(static_cast<double>(best[i].logit) - scores.max);
            if (sum >= static_cast<double>(s.top_p) * mass) {
                keep = i + 1;
                closed = true;
                break;
            }
        }
    }
    if (s.min_p > 0) {
        const double floor = scores.max + std::log(static_cast<double>(s.min_p));
        std::size_t above = 0;
        while (above < keep && best[above].logit >= floor) ++above;
        if (above < keep) closed = true;
        keep = std::max<std::size_t>(above, 1);
    }
    return closed ? static_cast<std::ptrdiff_t>(keep) : -1;
}

}  // namespace

void adjust_logits(std::span<float> logits, std::int32_t first_id,
                   const ScoreRequest& request) noexcept {
    // A broken model may give NaN; the lowest float keeps every comparison below an order.
    for (float& logit : logits) {
        if (std::isnan(logit)) logit = std::numeric_limits<float>::lowest();
    }
    const auto own = [&](std::int32_t id) -> float* {
        const std::int64_t index = std::int64_t{id} - first_id;
        return index >= 0 && index < static_cast<std::int64_t>(logits.size()) ? &logits[index]
                                                                              : nullptr;
    };
    if (penalises(request)) {
        for (const SeenToken& seen : request.seen) {
            float* logit = own(seen.id);
            if (logit == nullptr) continue;
            *logit = *logit > 0 ? *logit / request.repeat_penalty : *logit * request.repeat_penalty;
            *logit -= request.presence_penalty +
                      request.frequency_penalty * static_cast<float>(seen.count);
        }
    }
    for (const auto& [id, bias] : request.logit_bias) {
        if (float* logit = own(id)) *logit += bias;
    }
    if (request.temperature > 0 && request.temperature != 1) {
        for (float& logit : logits) logit /= request.temperature;
    }
}

Scores score_logits(std::span<const float> logits, std::int32_t first_id,
                    const ScoreRequest& request) {
    Scores out;
    if (logits.empty()) return out;
    const std::size_t n = std::min<std::size_t>(request.candidates, logits.size());
    const auto at = [&](std::size_t i) {
        return Candidate{first_id + static_cast<std::int32_t>(i), logits[i]};
    };
    // A heap of the best so far, its worst on top: most logits fail one comparison.
    out.best.reserve(n);
    for (std::size_t i = 0; i < logits.size() && n != 0; ++i) {
        if (out.best.size() < n) {
            out.best.push_back(at(i));
            std::push_heap(out.best.begin(), out.best.end(), better);
        } else if (logits[i] > out.best.front().logit) {
            std::pop_heap(out.best.begin(), out.best.end(), better);
            out.best.back() = at(i);
            std::push_heap(out.best.begin(), out.best.end(), better);
        }
    }
    std::sort_heap(out.best.begin(), out.best.end(), better);

    out.max = *std::max_element(logits.begin(), logits.end());
    if (request.temperature > 0) {
        for (const float logit : logits) out.sum_exp += std::exp(double{logit} - out.max);
    }
    if (request.draw) {
        double winner = -std::numeric_limits<double>::infinity();
        for (std::size_t i = 0; i < logits.size(); ++i) {
            const Candidate c = at(i);
            const double noisy = c.logit + gumbel_noise(request.seed, request.position, c.id);
            if (noisy > winner) {
                winner = noisy;
                out.drawn = c;
            }
        }
    }
    return out;
}

double gumbel_noise(std::uint64_t seed, std::uint64_t position, std::int32_t id) noexcept {
    constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15U;
    std::uint64_t h = mix(seed + kGolden);
    h = mix(h ^ (position + kGolden));
    h = mix(h ^ (static_cast<std::uint32_t>(id) + kGolden));
    // 53 bits strictly inside (0, 1).
    const double u = (static_cast<double>(h >> 11) + 0.5) * 0x1p-53;
    return -std::log(-std::log(u));
}

bool draws_from_all(const Sampling& s) noexcept {
    return s.temperature > 0 && s.top_k == 0 && s.top_p >= 1 && s.min_p <= 0;
}

std::uint32_t wanted_candidates(const Sampling& s, std::uint32_t n_vocab) noexcept {
    if (s.temperature <= 0) return 1;
    if (draws_from_all(s)) return 0;
    return std::min(s.top_k != 0 ? s.top_k : kFilterCandidates, n_vocab);
}

Scores merge_scores(std::span<const Scores> parts, std::uint32_t candidates) {
    Scores out;
    bool any = false;
    for (const Scores& part : parts) {
        out.best.insert(out.best.end(), part.best.begin(), part.best.end());
        if (part.drawn.id >= 0) out.best.push_back(part.drawn);
        if (part.best.empty() && part.sum_exp == 0 && part.drawn.id < 0) continue;
        out.max = any ? std::max(out.max, part.max) : part.max;
        any = true;
    }
    // Drawn winners are few and all kept: one a device.
    const std::size_t n =
        candidates == 0 ? out.best.size() : std::min<std::size_t>(candidates, out.best.size());
    std::partial_sort(out.best.begin(), out.best.begin() + static_cast<std::ptrdiff_t>(n),
                      out.best.end(), better);
    out.best.resize(n);
    for (const Scores& part : parts) {
        if (part.sum_exp > 0) {
            out.sum_exp += part.sum_exp * std::exp(double{part.max} - out.max);
        }
    }
    return out;
}

std::int32_t choose(const Scores& scores, const Sampling& sampling, std::uint64_t position,
                    std::uint32_t n_vocab) noexcept {
    if (scores.best.empty()) return -1;
    if (sampling.temperature <= 0) return scores.best.front().id;
    const std::ptrdiff_t keep = draws_from_all(sampling)
                                    ? static_cast<std::ptrdiff_t>(scores.best.size())
                                    : kept(scores, sampling, n_vocab);
    if (keep < 0) return -1;
    std::int32_t id = -1;
    double winner = -std::numeric_limits<double>::infinity();
    for (std::ptrdiff_t i = 0; i < keep; ++i) {
        const Candidate& c = scores.best[static_cast<std::size_t>(i)];
        const double noisy = c.logit + gumbel_noise(sampling.seed, position, c.id);
        if (noisy > winner || (noisy == winner && c.id < id)) {
            winner = noisy;
            id = c.id;
        }
    }
    return id;
}

std::vector<SeenToken> count_seen(std::span<const std::int32_t> history,
                                  std::uint32_t penalty_last_n) {
    std::vector<std::int32_t> last(
        history.end() -
            static_cast<std::ptrdiff_t>(std::min<std::size_t>(history.size(), penalty_last_n)),
        history.end());
    std::sort(last.begin(), last.end());
    std::vector<SeenToken> seen;
    for (const std::int32_t id : last) {
        if (seen.empty() || seen.back().id != id) seen.push_back({id, 0});
        ++seen.back().count;
    }
    return seen;
}

}  // namespace shoal::exec
