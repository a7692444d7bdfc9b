#include "daemon/exec/masking.hpp"

#include <algorithm>
#include <cassert>
#include <limits>

namespace shoal::exec {
namespace {

constexpr float kRefused = -std::numeric_limits<float>::infinity();

}  // namespace

void mask_logits(std::span<float> logits, const grammar::TokenMask& mask) noexcept {
    assert(mask.size() == logits.size());
    constexpr std::size_t kBits = 64;
    const std::span<const std::uint64_t> words = mask.words();
    for (std::size_t w = 0; w < words.size(); ++w) {
        const auto part = logits.subspan(w * kBits, std::min(kBits, logits.size() - w * kBits));
        // Most words of most masks.
        if (words[w] == 0) {
            std::fill(part.begin(), part.end(), kRefused);
            continue;
        }
        for (std::size_t i = 0; i < part.size(); ++i) {
            const bool allowed = (words[w] >> i & 1) != 0;
            part[i] = allowed ? std::max(part[i], std::numeric_limits<float>::lowest()) : kRefused;
        }
    }
}

void drop_refused(Scores& scores) {
    // They are the last: whoever is allowed is above them.
    while (!scores.best.empty() && scores.best.back().logit == kRefused) scores.best.pop_back();
}

}  // namespace shoal::exec
