// N devices in one process, a thread each, over an in-process exchange: for tests of the executor.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/exec/executor.hpp"
#include "daemon/exec/runner.hpp"
#include "daemon/model/gguf.hpp"
#include "daemon/model/hparams.hpp"
#include "daemon/shard/slice.hpp"

namespace shoal::tests {

/// The instruction sets of this CPU, the portable one first.
std::vector<kernels::Isa> isas_here();
/// Those whose results are equal to the last bit: all but the portable one.
std::vector<kernels::Isa> vector_isas_here();

/// A text of so many made tokens, the same each time.
std::vector<std::int32_t> text_of(std::size_t n);

struct ClusterOptions {
    std::uint32_t devices = 1;
    std::uint32_t threads = 1;   ///< of each device
    std::vector<double> speeds;  ///< empty: all equal
    kernels::Isa isa = kernels::best_isa();
    exec::ExecutorOptions exec;
    /// Of rows, where exec.sequence_rows is not 0.
    std::vector<std::uint32_t> row_shares{};
    std::uint64_t whole_bytes = UINT64_MAX;  ///< for whole layers, of each device
};

/// What a generation gave.
struct Generated {
    std::vector<std::int32_t> ids;           ///< generated ones
    std::vector<std::vector<float>> logits;  ///< (step)(n_vocab), all devices' together
};

/// Load a model, cut it, run `body` on rank 0 while the other ranks follow. Throws
/// std::runtime_error when any device's plan does not end well.
class LocalCluster {
  public:
    LocalCluster(const model::GgufFile& file, const ClusterOptions& options);
    ~LocalCluster();

    /// Greedy or sampled continuation; keeps every step's logits when `keep_logits`.
    Generated generate(const std::vector<std::int32_t>& prompt, std::uint32_t count,
                       const exec::Sampling& sampling, bool keep_logits = false);

    /// Logits (step)(n_vocab) of a text that is given: of the token at `first` and each after it,
    /// and of the one that would follow. Requires: 0 < first <= ids.size().
    std::vector<std::vector<float>> logits_along(const std::vector<std::int32_t>& ids,
                                                 std::size_t first);

    /// Run sequences together until each has `count` tokens; returns their generated ids.
    std::vector<std::vector<std::int32_t>> generate_together(
        const std::vector<std::vector<std::int32_t>>& prompts, std::uint32_t count,
        const exec::Sampling& sampling);

    /// Logits (wanted)(n_vocab) after the tokens at the wanted positions, ascending; all tokens in
    /// one step. Requires: one device, and max_rows and max_outputs of as many.
    std::vector<std::vector<float>> logits_at(const std::vector<std::int32_t>& tokens,
                                              const std::vector<std::uint32_t>& wanted);

    /// Whatever `body` does with a root that the other devices follow.
    void run_plan(const std::function<void(exec::Root&)>& body);

    const std::vector<shard::Slice>& plan() const noexcept { return plan_; }
    const model::Hparams& hparams() const noexcept { return hparams_; }
    /// The device's executor and weights, for looking at memory.
    const exec::Executor& executor(std::uint32_t rank) const;
    const exec::SliceWeights& weights(std::uint32_t rank) const;
    /// Null where it has no share of rows.
    const exec::WholeWeights* whole(std::uint32_t rank) const;
    /// Bytes that the device sent in the last plan, of payloads, to each other device once.
    std::uint64_t sent(std::uint32_t rank) const;
    /// Steps by which the device's speed was judged in the last plan.
    std::uint64_t judged_steps(std::uint32_t rank) const;
    /// One step of one device.
    exec::Status run(const exec::Step& step);

  private:
    struct Device;
    std::vector<float> last_logits() const;

    const model::GgufFile& file_;
    model::Hparams hparams_;
    model::FileSource source_;
    std::vector<shard::Slice> plan_;
    std::vector<std::unique_ptr<Device>> devices_;
};

}  // namespace shoal::tests
