#include "daemon/exec/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
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

kernels::DrawKey draw_key(std::uint64_t seed, std::uint64_t position) noexcept {
    constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15U;
    const std::uint64_t key = mix(mix(seed + kGolden) ^ (position + kGolden));
    return {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)};
}

// Gumbel noise: -log of an exponential variate. Large noise comes from small fractions, which
// 32 bits resolve down to 2^-33: a token less likely than that is never drawn.
double noise(kernels::DrawKey key, std::int32_t id) noexcept {
    const double v = (kernels::draw_hash(key, static_cast<std::uint32_t>(id)) + 0.5) * 0x1p-32;
    return -std::log(-std::log1p(-v));
}

bool penalises(const ScoreRequest& r) noexcept {
    return r.repeat_penalty != 1 || r.presence_penalty != 0 || r.frequency_penalty != 0;
}

// The candidates' number that survives top_k, top_p and min_p, or -1 when it may be more than
// are at hand.
std::ptrdiff_t kept(const Scores& scores, const Sampling& s, std::uint32_t n_choices) noexcept {
    const std::vector<Candidate>& best = scores.best;
    const bool all_here = best.size() >= n_choices;
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

void adjust_logits(const kernels::Table& kernels, std::span<float> logits, std::int32_t first_id,
                   const ScoreRequest& request) noexcept {
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
    // A broken model may give NaN, which this turns into the lowest float.
    kernels.scale_logits(logits.data(), logits.size(),
                         request.temperature > 0 ? request.temperature : 1);
}

namespace {

// The n best in order. n blocks have an element of at least the n-th largest of the blocks'
// maxima, so nothing below it is among them: few logits need a closer look than their block.
void select_best(std::span<const float> logits, std::int32_t first_id, std::size_t n,
                 ScoreBuffers& buffers, std::vector<Candidate>& best) {
    constexpr std::size_t kBlock = kernels::kLogitBlock;
    best.clear();
    if (n == 0) return;
    float least = -std::numeric_limits<float>::infinity();
    if (n <= buffers.maxima.size()) {
        buffers.ordered = buffers.maxima;
        const auto nth = buffers.ordered.begin() + static_cast<std::ptrdiff_t>(n) - 1;
        std::nth_element(buffers.ordered.begin(), nth, buffers.ordered.end(), std::greater<>());
        least = *nth;
    }
    for (std::size_t b = 0; b < buffers.maxima.size(); ++b) {
        if (buffers.maxima[b] < least) continue;
        const std::size_t end = std::min((b + 1) * kBlock, logits.size());
        for (std::size_t i = b * kBlock; i < end; ++i) {
            if (logits[i] >= least) {
                best.push_back({first_id + static_cast<std::int32_t>(i), logits[i]});
            }
        }
    }
    // There may be fewer: of refused tokens the maximum of a block that is not full is above them.
    if (n < best.size()) {
        const auto nth = best.begin() + static_cast<std::ptrdiff_t>(n);
        std::nth_element(best.begin(), nth, best.end(), better);
        best.resize(n);
    }
    std::sort(best.begin(), best.end(), better);
}

// The winner of logit + Gumbel noise. With v the token's hash as a fraction, noise is at most
// -log(v): a token beats the best so far only if v <= exp(logit - best), and the largest logit of
// a block bounds this for all its tokens. Only tokens below their block's bound are looked at.
Candidate draw_from_all(const kernels::Table& kernels, std::span<const float> logits,
                        std::int32_t first_id, const ScoreRequest& request,
                        const std::vector<float>& maxima) noexcept {
    constexpr std::size_t kBlock = kernels::kLogitBlock;
    const kernels::DrawKey key = draw_key(request.seed, request.position);
    Candidate winner{-1, 0};
    double best = -std::numeric_limits<double>::infinity();
    const auto enter = [&](std::size_t i) {
        const Candidate c{first_id + static_cast<std::int32_t>(i), logits[i]};
        const double noisy = c.logit + noise(key, c.id);
        if (noisy > best || (noisy == best && c.id < winner.id)) {
            best = noisy;
            winner = c;
        }
    };
    // The likeliest token first: the bounds are tight from the start.
    const auto top = std::max_element(maxima.begin(), maxima.end()) - maxima.begin();
    const auto begin = logits.begin() + top * static_cast<std::ptrdiff_t>(kBlock);
    enter(static_cast<std::size_t>(std::find(begin, logits.end(), maxima[top]) - logits.begin()));
    for (std::size_t b = 0; b < maxima.size(); ++b) {
        const std::size_t end = std::min((b + 1) * kBlock, logits.size());
        for (std::size_t i = b * kBlock; i < end; ++i) {
            // A little more than the bound covers what is rounded here and in the noise.
            constexpr float kAll = 0x1p32F;
            const float bound =
                std::exp(static_cast<float>(maxima[b] - best)) * (kAll * (1 + 0x1p-12F));
            const auto limit = bound < kAll ? static_cast<std::uint32_t>(bound) : UINT32_MAX;
            const auto token = static_cast<std::uint32_t>(first_id) + static_cast<std::uint32_t>(i);
            i += kernels.find_draw(key, token, end - i, limit);
            if (i < end) enter(i);
        }
    }
    return winner;
}

}  // namespace

void score_logits(const kernels::Table& kernels, std::span<const float> logits,
                  std::int32_t first_id, const ScoreRequest& request, ScoreBuffers& buffers,
                  Scores& out) {
    out.best.clear();
    out.max = 0;
    out.sum_exp = 0;
    out.drawn = {-1, 0};
    out.raw.reset();
    if (logits.empty()) return;
    buffers.maxima.resize((logits.size() + kernels::kLogitBlock - 1) / kernels::kLogitBlock);
    kernels.block_maxima(logits.data(), logits.size(), buffers.maxima.data());
    out.max = *std::max_element(buffers.maxima.begin(), buffers.maxima.end());
    select_best(logits, first_id, std::min<std::size_t>(request.candidates, logits.size()), buffers,
                out.best);
    if (request.temperature > 0 && request.candidates != 0) {
        out.sum_exp = kernels.sum_exp(logits.data(), logits.size(), out.max);
    }
    if (request.draw) {
        out.drawn = draw_from_all(kernels, logits, first_id, request, buffers.maxima);
    }
}

double gumbel_noise(std::uint64_t seed, std::uint64_t position, std::int32_t id) noexcept {
    return noise(draw_key(seed, position), id);
}

bool draws_from_all(const Sampling& s) noexcept {
    return s.temperature > 0 && s.top_k == 0 && s.top_p >= 1 && s.min_p <= 0;
}

std::uint32_t wanted_candidates(const Sampling& s, std::uint32_t n_choices) noexcept {
    if (s.temperature <= 0) return 1;
    if (draws_from_all(s)) return 0;
    return std::min(s.top_k != 0 ? s.top_k : kFilterCandidates, n_choices);
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
                    std::uint32_t n_choices) noexcept {
    if (scores.best.empty()) return -1;
    if (sampling.temperature <= 0) return scores.best.front().id;
    const std::ptrdiff_t keep = draws_from_all(sampling)
                                    ? static_cast<std::ptrdiff_t>(scores.best.size())
                                    : kept(scores, sampling, n_choices);
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
