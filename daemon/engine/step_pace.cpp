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
// Steps with prompts before one without them is taken, to see how long that is now.
constexpr std::uint32_t kStale = 16;
// One answer more or less of so many makes no difference to a step.
constexpr std::size_t kAlike = 8;

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

bool StepPace::gap_is_of(std::size_t answers) const noexcept {
    const std::size_t apart = std::max(answers, answers_) - std::min(answers, answers_);
    return gap_ != 0 && apart * kAlike <= answers_;
}

exec::PromptRows StepPace::prompt_rows(std::size_t answers, bool both) const noexcept {
    // Never twice in a row: prompts come in however often answers begin and end.
    const bool look = since_ >= kStale || (since_ != 0 && !gap_is_of(answers));
    if (gap_ == 0 || look) return {0, 0};
    if (!gap_is_of(answers)) return {kLeastTogether, kLeastShared};
    const double left = (kAimedGaps - 1) * gap_ / (both ? 2 : 1);
    return {together_.rows_within(left, kLeastTogether), shared_.rows_within(left, kLeastShared)};
}

void StepPace::stepped(std::uint64_t prompt_rows, std::size_t answers, bool shared,
                       double seconds) noexcept {
    if (prompt_rows == 0) {
        if (answers == 0) return;
        // What was measured many steps ago counts for less.
        const double kept = since_ == 0 ? kKept : 0.5;
        gap_ = gap_is_of(answers) ? kept * gap_ + (1 - kept) * seconds : seconds;
        answers_ = answers;
        since_ = 0;
        return;
    }
    ++since_;
    if (shared) {
        shared_.learn(prompt_rows, seconds);
    } else if (gap_is_of(answers)) {
        // Alone, rows are cheaper: many read the weights once.
        together_.learn(prompt_rows, seconds - gap_);
    }
}

}  // namespace shoal
