#include "daemon/exec/logprobs.hpp"

#include <algorithm>
#include <cmath>

namespace shoal::exec {
namespace {

bool likelier(const Candidate& a, const Candidate& b) noexcept {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

}  // namespace

void report_logits(const kernels::Table& kernels, std::span<float> raw, std::int32_t first_id,
                   const ScoreRequest& request, ScoreBuffers& buffers, Scores& scores) {
    RawScores& report = scores.raw.emplace();
    if (raw.empty()) return;
    kernels.scale_logits(raw.data(), raw.size(), 1);
    // What scoring finds without penalties, at a temperature of 1. A sum needs a candidate.
    ScoreRequest plain;
    plain.temperature = 1;
    plain.candidates = std::max(request.logprobs - 1, 1U);
    Scores found;
    score_logits(kernels, raw, first_id, plain, buffers, found);
    report.max = found.max;
    report.sum_exp = found.sum_exp;
    report.best = std::move(found.best);
    report.best.resize(std::min<std::size_t>(report.best.size(), request.logprobs - 1));

    const auto tell = [&](std::int32_t id) {
        const std::int64_t index = std::int64_t{id} - first_id;
        if (index < 0 || index >= static_cast<std::int64_t>(raw.size())) return;
        report.known.push_back({id, raw[static_cast<std::size_t>(index)]});
    };
    if (request.target >= 0) return tell(request.target);
    report.known.reserve(scores.best.size() + 1);
    for (const Candidate& candidate : scores.best) tell(candidate.id);
    tell(scores.drawn.id);
}

RawScores merge_raw(std::span<const Scores> parts, std::uint32_t likeliest) {
    RawScores out;
    bool any = false;
    for (const Scores& part : parts) {
        if (!part.raw || part.raw->sum_exp <= 0) continue;
        out.max = any ? std::max(out.max, part.raw->max) : part.raw->max;
        any = true;
        out.best.insert(out.best.end(), part.raw->best.begin(), part.raw->best.end());
        out.known.insert(out.known.end(), part.raw->known.begin(), part.raw->known.end());
    }
    for (const Scores& part : parts) {
        if (!part.raw || part.raw->sum_exp <= 0) continue;
        out.sum_exp += part.raw->sum_exp * std::exp(double{part.raw->max} - out.max);
    }
    std::sort(out.best.begin(), out.best.end(), likelier);
    out.best.resize(std::min<std::size_t>(out.best.size(), likeliest));
    return out;
}

std::vector<Logprob> logprobs_of(const RawScores& merged, std::int32_t id) {
    const auto own = std::find_if(merged.known.begin(), merged.known.end(),
                                  [id](const Candidate& c) { return c.id == id; });
    if (own == merged.known.end()) return {};
    const double normaliser = merged.max + std::log(merged.sum_exp);
    std::vector<Logprob> out;
    out.reserve(merged.best.size() + 1);
    const auto add = [&](const Candidate& c) {
        out.push_back({c.id, static_cast<float>(c.logit - normaliser)});
    };
    add(*own);
    for (const Candidate& c : merged.best) add(c);
    return out;
}

}  // namespace shoal::exec
