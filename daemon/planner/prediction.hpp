// How long steps take under a plan: the cost model. Pure; what it assumes is in PLANNING.md.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "daemon/planner/profile.hpp"
#include "daemon/planner/row_sharing.hpp"
#include "daemon/planner/work.hpp"
#include "daemon/shard/slice.hpp"

namespace shoal::planner {

/// Rows that go through the layers together.
struct Rows {
    double count = 1;
    double positions = 0;  ///< that a row attends to, on average
    double outputs = 1;    ///< rows that the LM head multiplies
};

/// Where the seconds of some steps go: what the slowest device takes in each phase, the exchanges
/// between them.
struct Seconds {
    double attention = 0;  ///< wq, wk, wv, scores and values, wo
    double ffn = 0;
    double lm_head = 0;
    double between = 0;   ///< what every device does: adding, norms, beginning and ending loops
    double exchange = 0;  ///< latency and bytes of the collectives

    double sum() const noexcept { return attention + ffn + lm_head + between + exchange; }
    Seconds& operator+=(const Seconds& other) noexcept;
    Seconds operator*(double factor) const noexcept;
};

/// How partial sums and heads travel.
struct Form {
    double bytes_per_element = 34.0 / 32;
    double kv_bytes_per_element = 2;  ///< of K and V where rows are shared out
    std::uint32_t batch_rows = 256;   ///< at most so many rows go through the layers together
    bool overlap = false;  ///< steps of more than half of them compute in two halves, in turns
};

/// The request that a plan is made quick for.
struct Request {
    std::uint32_t prompt = 512;
    std::uint32_t answer = 256;
    double positions = 0;  ///< that are in the cache before
};

/// Predicts for some devices of a cluster. All that it is made of must outlive it.
class Predictor {
  public:
    /// `members`: indices of cluster.devices, in rank order. `sharing`: null when no prompt's rows
    /// are shared out.
    Predictor(const ModelWork& work, const Cluster& cluster, std::span<const std::size_t> members,
              Form form, const RowSharing* sharing = nullptr);

    Seconds step(std::span<const shard::Slice> slices, Rows rows) const;
    /// A sequence-parallel step.
    Seconds sequence_step(std::span<const shard::Slice> slices, const RowSharing& sharing,
                          Rows rows) const;
    /// All steps of a prompt after `before` positions, without the choice of a token.
    Seconds prefill(std::span<const shard::Slice> slices, std::uint32_t tokens,
                    double before) const;
    /// A token, `positions` into a context.
    Seconds decode(std::span<const shard::Slice> slices, double positions) const;
    Seconds request(std::span<const shard::Slice> slices, const Request& request) const;

    /// Of an all-gather in which each device sends so many bytes to each other.
    double all_gather(double bytes) const;

  private:
    double exchange(double bytes_to_each, bool root_only) const;
    double all_reduce(double rows, double row_bytes) const;
    /// Of a layer of a sequence-parallel step.
    struct AllToAlls {
        double to_heads = 0, to_rows = 0;
    };
    AllToAlls all_to_alls(std::span<const shard::Slice> slices, const RowSharing& sharing,
                          double rows) const;
    double parts_of(double rows) const noexcept;
    double in_turns(double first, double first_sent, double second,
                    double second_sent) const noexcept;

    const ModelWork& work_;
    const Cluster& cluster_;
    std::span<const std::size_t> members_;
    Form form_;
    const RowSharing* sharing_;
    double latency_ = 0;
    double busy_ = 0;  ///< part of an exchange that takes a core besides
};

/// K outputs (and as many V outputs) that a device computes although others do, too, on average:
/// more devices than KV heads hold some of them several times.
double redundant_kv_outputs(const ModelWork& work, std::span<const shard::Slice> slices) noexcept;

}  // namespace shoal::planner
