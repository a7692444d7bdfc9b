#include "daemon/engine/step_pace.hpp"

#include <algorithm>

namespace shoal {
namespace {

// What is aimed at stays below the promise: rows cost more at later positions and when other
// programs run.
constexpr double kAimedGaps = 2.3;
// What counts of the older with each step.
constexpr double kKept = 0.8;
// A step has at most so many times the rows of the one before, so that a wrong guess is found out
// early.
constexpr std::uint32_t kGrowth = 2;

}  // namespace

void StepPace::Cost::learn(std::uint64_t now, double took) noexcept {
    last = static_cast<std::uint32_t>(now);
    took = std::max(1e-9, took);
    // When rows take far longer than was thought, what was thought does not count.
    if (took * rows > 2 * seconds * static_cast<double>(now)) seconds = rows = 0;
    seconds = kKept * seconds + took;
    rows = kKept * rows + static_cast<double>(now);
}

std::uint32_t StepPace::Cost::rows_within(double seconds_left, std::uint32_t least) const noexcept {
    if (seconds == 0) return least;
    const double most = std::max(last, least) * double{kGrowth};
    return std::max(least,
                    static_cast<std::uint32_t>(std::min(most, seconds_left * rows / seconds)));
}

exec::PromptRows StepPace::prompt_rows() const noexcept {
    if (gap_ == 0) return {0, 0};
    const double left = (kAimedGaps - 1) * gap_;
    return {together_.rows_within(left, kLeastTogether), shared_.rows_within(left, kLeastShared)};
}

void StepPace::stepped(std::uint64_t prompt_rows, bool answers, bool shared,
                       double seconds) noexcept {
    if (prompt_rows == 0) {
        if (answers) gap_ = gap_ == 0 ? seconds : kKept * gap_ + (1 - kKept) * seconds;
    } else if (shared) {
        shared_.learn(prompt_rows, seconds);
    } else if (answers && gap_ != 0) {
        // Alone, rows are cheaper: many read the weights once.
        together_.learn(prompt_rows, seconds - gap_);
    }
}

}  // namespace shoal
