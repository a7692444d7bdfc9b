// What the root's engine does while a plan runs: admit jobs, step, hand out tokens.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <stop_token>
#include <utility>
#include <vector>

#include "daemon/engine/generation.hpp"
#include "daemon/engine/plan_spec.hpp"
#include "daemon/exec/runner.hpp"
#include "daemon/loop/worker.hpp"

namespace shoal {

/// Owned by the engine's thread.
class Batch {
  public:
    struct Limits {
        std::uint32_t parallel = 4;           ///< jobs run together
        std::uint32_t max_prompt_tokens = 0;  ///< 0: the context is the limit
    };
    using Emit = std::function<void(JobId, const mesh::messages::Event&)>;

    /// All arguments outlive it. `prompts` begins the generations, in order, and calls `wake` from
    /// its thread each time. Throws model::ModelError when the model has no embedding here.
    Batch(const PlanSpec& spec, exec::Executor& executor, exec::Collective& collective,
          const Limits& limits, Worker& prompts, std::function<void()> wake, Emit emit);
    /// What has not begun is given up.
    ~Batch();

    /// A job to be run as soon as there is room for it, after those before it.
    void add(Job job);
    void cancel(JobId job);
    /// Nothing to do until it is woken or told more.
    bool idle() const { return !next_ && running_.empty() && !first_has_begun(); }

    /// Admit what fits and run one step.
    exec::Status step();

    std::size_t running() const noexcept { return running_.size(); }
    double prefill_speed() const noexcept { return prefill_speed_; }
    double decode_speed() const noexcept { return decode_speed_; }
    /// Tokens generated since the last call.
    std::uint32_t take_generated() noexcept { return std::exchange(generated_, 0); }

  private:
    // A job whose generation begins on the worker.
    struct Waiting {
        JobId id;
        std::future<Generation::Begun> begun;
        std::stop_source stop;
    };

    void admit();
    bool first_has_begun() const;
    bool take_next();
    void finish(std::size_t index);
    void hand_out();
    void measure(std::uint64_t prompt_rows, std::size_t decoded, Clock::duration took);

    const PlanSpec& spec_;
    exec::Root root_;
    const Limits limits_;
    Worker& prompts_;
    const std::function<void()> wake_;
    const Emit emit_;

    std::deque<Waiting> waiting_;
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
