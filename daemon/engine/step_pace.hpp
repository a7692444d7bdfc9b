// How many rows of prompts a step takes beside answers that are being written.
#pragma once

#include <cstddef>
#include <cstdint>

#include "daemon/exec/runner.hpp"

namespace shoal {

/// Learns from what steps took. Between two tokens of a running answer lies one step that it is in,
/// and perhaps one whose rows are shared out; together they are to take no longer than kMostGaps
/// steps without prompts do. Externally synchronised.
class StepPace {
  public:
    static constexpr double kMostGaps = 3;
    /// A step has at least so many rows of a prompt, whatever they take: less would not end. Of one
    /// whose rows are shared out each step moves whole layers, so that fewer cost as much.
    static constexpr std::uint32_t kLeastTogether = 4;
    static constexpr std::uint32_t kLeastShared = 64;

    /// For the next step beside so many running answers. Nothing, until one was measured that has
    /// only them; and again now and then, as such a step takes longer with more of them.
    /// `both`: prompts of both kinds come in, so that steps of both lie between two tokens.
    exec::PromptRows prompt_rows(std::size_t answers, bool both) const noexcept;

    /// What a step took that had so many rows of prompts, and others. `answers`: it was taken
    /// beside so many running ones, though a step whose rows are shared out has none of theirs.
    void stepped(std::uint64_t prompt_rows, std::size_t answers, bool shared,
                 double seconds) noexcept;

  private:
    // Rows of one kind of step.
    struct Cost {
        double seconds = 0, rows = 0;  // of late, the older the less; 0: not known
        std::uint32_t last = 0;        // rows of the last step

        void learn(std::uint64_t now, double took) noexcept;
        std::uint32_t rows_within(double seconds_left, std::uint32_t least) const noexcept;
    };

    bool gap_is_of(std::size_t answers) const noexcept;

    double gap_ = 0;           // seconds of a step without prompts; 0: not known
    std::size_t answers_ = 0;  // beside so many
    std::uint32_t since_ = 0;  // steps with prompts since then
    Cost together_, shared_;
};

}  // namespace shoal
