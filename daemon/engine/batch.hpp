// What the root's engine does while a plan runs: admit jobs, step, hand out tokens.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>
#include <vector>

#include "daemon/engine/generation.hpp"
#include "daemon/engine/kv_files.hpp"
#include "daemon/engine/plan_spec.hpp"
#include "daemon/engine/prefix_index.hpp"
#include "daemon/engine/step_pace.hpp"
#include "daemon/exec/kv_cache.hpp"
#include "daemon/exec/runner.hpp"
#include "daemon/loop/worker.hpp"

namespace shoal {

struct BatchCounts {
    std::uint64_t generated_tokens = 0;
    std::uint64_t preemptions = 0;    ///< how often one that ran gave its room to those before it
    std::uint64_t prompt_tokens = 0;  ///< of prompts that were begun
    std::uint64_t cached_tokens = 0;  ///< of these, those that need not be computed
};

/// Owned by the engine's thread.
class Batch {
  public:
    struct Limits {
        std::uint32_t parallel = 16;          ///< jobs run together
        std::uint32_t max_prompt_tokens = 0;  ///< 0: the context is the limit
    };
    using Emit = std::function<void(JobId, const mesh::messages::Event&)>;

    /// All arguments outlive it. `prompts` begins the generations, in order, and calls `wake` from
    /// its thread each time. Throws model::ModelError when the model has no embedding here.
    Batch(const PlanSpec& spec, exec::Executor& executor, exec::Collective& collective,
          const Limits& limits, Worker& prompts, std::function<void()> wake, Emit emit);
    /// What has not begun is given up.
    ~Batch();

    /// A job to be run as soon as there is room for its prompt, after those of its priority that
    /// came before it.
    void add(Job job);
    void cancel(JobId job);
    /// Nothing to do until it is woken or told more.
    bool idle() const { return ready_.empty() && running_.empty() && !first_has_begun(); }

    /// Admit what fits and run one step.
    exec::Status step();

    /// Between two steps: jobs are forgotten without a word, the cache keeps what it has of them,
    /// and the other devices wait for another Batch::use.
    exec::Status park();
    void use(exec::Collective& collective) noexcept { root_.use(collective); }

    /// Texts are found on disks from now on, as all devices keep blocks there. `files` are this
    /// device's; null: some do not.
    void use(SliceFiles* files) noexcept { files_ = files; }
    /// keep() may have something to do.
    bool may_keep() const noexcept;
    /// While idle(): the devices write some of what is kept to their disks.
    exec::Status keep();

    std::size_t running() const noexcept { return running_.size(); }
    /// Blocks of the cache that are taken, by those that run and by texts that are kept.
    std::uint32_t used_blocks() const noexcept { return blocks_.used_blocks(); }
    /// Part of the cache that those that run have.
    double cache_use() const;
    /// What happened so far.
    const BatchCounts& counts() const noexcept { return counts_; }
    double prefill_speed() const noexcept { return prefill_speed_; }
    double decode_speed() const noexcept { return decode_speed_; }

  private:
    using Queue = std::deque<std::unique_ptr<Generation>>;

    // A job whose generation begins on the worker.
    struct Waiting {
        JobId id;
        std::future<Generation::Begun> begun;
        std::stop_source stop;
    };

    // A text that comes from the disks, for a job that waits; `computed` tokens are there.
    struct Recall {
        Generation::Place waits;
        exec::Sequence text;
        std::vector<exec::BlockName> names;  // of all its blocks
    };
    // Blocks of a kept text that no file holds.
    struct Unwritten {
        exec::SequenceId text;
        std::uint32_t first;
        std::vector<exec::BlockName> names;
    };

    void drop_waiting() noexcept;
    void admit();
    bool first_has_begun() const;
    void take_begun();
    static void join(Queue& queue, std::unique_ptr<Generation> generation);
    bool may_share_soon(const Generation& generation) const;
    bool seat(Generation& generation);
    PrefixIndex::Match known_of(const Generation& generation);
    bool has_room(const Generation& generation, const PrefixIndex::Match& known) const;
    std::vector<bool> blocks_in_use() const;
    bool evict();
    bool seek(Generation& generation);
    exec::Status recall();
    void end_recall();
    void find_unwritten();
    void make_room();
    void send_back();
    std::size_t choose_order();
    void finish(std::size_t index);
    void tell_end(Generation& generation);
    void give_back(const exec::Sequence& sequence);
    void free(exec::SequenceId sequence);
    void hand_out(std::size_t decoding);
    void measure(std::uint64_t prompt_rows, std::size_t answers, Clock::duration took);

    const PlanSpec& spec_;
    exec::Root root_;
    const Limits limits_;
    Worker& prompts_;
    const std::function<void()> wake_;
    const Emit emit_;

    std::deque<Waiting> waiting_;
    // By their places.
    Queue ready_;
    Queue running_;
    std::uint64_t begun_ = 0;  // so far
    // Who has which blocks, once the orders given so far are carried out; never fewer than the
    // devices' caches then have taken. Without memory.
    exec::KvCache blocks_;
    PrefixIndex prefixes_;  // of sequences that have blocks
    // What it knew of the one that was last to be seated: while it waits for room that is the same.
    struct {
        Generation::Place place{};
        std::uint64_t version = 0;
        PrefixIndex::Match match;
    } known_;
    // On disks (batch_disk.cpp).
    SliceFiles* files_ = nullptr;
    const std::size_t block_bytes_;     // here
    const std::uint32_t order_blocks_;  // of an order
    std::optional<Recall> recall_;
    std::deque<Unwritten> unwritten_;
    std::uint64_t unwritten_version_ = 0;  // of prefixes_
    exec::SequenceId next_sequence_ = 1;
    BatchCounts counts_;
    std::uint32_t turn_ = 0;
    StepPace pace_;
    std::vector<exec::Sequence*> batch_;
    std::vector<std::size_t> batch_index_;
    std::vector<exec::Chosen> chosen_;
    double prefill_speed_ = 0;
    double decode_speed_ = 0;
};

}  // namespace shoal
