// What the root's engine does while a plan runs: admit jobs, step, hand out tokens.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "daemon/exec/runner.hpp"
#include "daemon/generation.hpp"
#include "daemon/plan_spec.hpp"

namespace shoal {

/// Owned by the engine's thread.
class RootLoop {
  public:
    struct Limits {
        std::uint32_t parallel = 4;           ///< jobs run together
        std::uint32_t max_prompt_tokens = 0;  ///< 0: the context is the limit
    };
    using Emit = std::function<void(JobId, const mesh::wire::Event&)>;

    /// All arguments outlive it. Throws model::ModelError when the model has no embedding here.
    RootLoop(const PlanSpec& spec, exec::Executor& executor, exec::Collective& collective,
             const Limits& limits, Emit emit);

    /// A job to be run as soon as there is room for it, after those before it.
    void add(Job job) { waiting_.push_back(std::move(job)); }
    void cancel(JobId job);
    bool idle() const noexcept { return waiting_.empty() && !next_ && running_.empty(); }

    /// Admit what fits and run one step.
    exec::Status step();

    std::size_t running() const noexcept { return running_.size(); }
    double prefill_speed() const noexcept { return prefill_speed_; }
    double decode_speed() const noexcept { return decode_speed_; }
    /// Tokens generated since the last call.
    std::uint32_t take_generated() noexcept { return std::exchange(generated_, 0); }

  private:
    void admit();
    bool begin_next();
    void finish(std::size_t index);
    void measure(std::uint64_t prompt_rows, std::size_t decoded, Clock::duration took);

    const PlanSpec& spec_;
    exec::Root root_;
    const Limits limits_;
    const Emit emit_;

    std::deque<Job> waiting_;
    std::unique_ptr<Generation> next_;                  // the first that waits for room
    std::vector<std::unique_ptr<Generation>> running_;  // in order of arrival
    std::uint64_t reserved_blocks_ = 0;
    const std::uint64_t capacity_blocks_;
    exec::SequenceId next_sequence_ = 1;
    std::vector<exec::Sequence*> batch_;
    std::vector<std::size_t> batch_index_;
    std::vector<exec::Chosen> chosen_;
    double prefill_speed_ = 0;
    double decode_speed_ = 0;
    std::uint32_t generated_ = 0;
};

}  // namespace shoal
