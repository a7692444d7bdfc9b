// A step: one forward pass over a batch of rows, as the root describes it to the other devices.
// Format and limits: STEPS.md, "Step messages". Little-endian, fixed layout.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "daemon/exec/kv_cache.hpp"
#include "daemon/exec/sampling.hpp"
#include "kernels/types.hpp"

namespace shoal::exec {

/// Bounds of a step; a message beyond them is malformed.
inline constexpr std::uint32_t kMaxStepRows = 4096;
inline constexpr std::uint32_t kMaxStepChanges = 4096;
inline constexpr std::uint32_t kMaxSeenTokens = 1u << 20;
inline constexpr std::uint32_t kMaxOrderBlocks = 64;
inline constexpr std::uint32_t kMaxMaskBytes = (1u << 19) + 1;  ///< a bit a token, and the form

/// One (sequence, position).
struct Row {
    SequenceId sequence = 0;
    std::uint32_t position = 0;
};

struct Fork {
    SequenceId from = 0;
    SequenceId to = 0;
    std::uint32_t positions = 0;
};

/// A row whose logits are wanted.
struct Output {
    std::uint32_t row = 0;
    ScoreRequest score;
};

/// Rows one behind another.
struct RowRange {
    std::uint32_t first = 0;
    std::uint32_t count = 0;
    bool operator==(const RowRange&) const = default;
};

struct Step {
    std::vector<SequenceId> releases;  ///< done after the forks, before the rows
    std::vector<Fork> forks;           ///< done before all else
    std::vector<Row> rows;
    std::vector<Output> outputs;     ///< rows ascending
    bool sequence_parallel = false;  ///< devices share out the rows, not the weights
    /// The rows' embeddings in the table's own type: (rows, dim).
    kernels::DType embedding_type = kernels::DType::f32;
    std::vector<std::byte> embeddings;
    /// Rows whose hidden states after the last norm are wanted, by the root; ascending, apart, not
    /// empty.
    std::vector<RowRange> hidden;
};

/// Says all that the numbers of a block of a sequence depend on, but for the plan and the device: a
/// hash of the tokens up to its end and of how their rows are shared out.
using BlockName = std::array<std::uint8_t, 32>;

/// Blocks of a sequence, one behind another, that devices write to their disks or read from there.
struct BlockOrder {
    SequenceId sequence = 0;
    std::uint32_t first = 0;  ///< block of the sequence; when reading, it has as many
    std::vector<BlockName> names;
    bool read = false;
};

/// What the root broadcasts: a step, a request for more candidates of the step just done, blocks
/// to be written or read, or the end of the plan.
enum class Command : std::uint8_t {
    step = 1,
    more_candidates = 2,
    stop = 3,
    sequence_step = 4,  ///< decoded as a step
    write_blocks = 5,
    read_blocks = 6,  ///< decoded as write_blocks
};

struct Order {
    Command command = Command::stop;
    Step step;                 ///< command step; of write_blocks releases and forks
    std::uint32_t output = 0;  ///< command more_candidates: index into outputs
    std::uint32_t candidates = 0;
    BlockOrder blocks;  ///< command write_blocks
};

/// All append to nothing: `out` is overwritten and keeps its capacity.
void encode_step(const Step& step, std::vector<std::byte>& out);
void encode_more(std::uint32_t output, std::uint32_t candidates, std::vector<std::byte>& out);
/// Of `changes` the releases and forks are taken.
void encode_blocks(const Step& changes, const BlockOrder& blocks, std::vector<std::byte>& out);
void encode_stop(std::vector<std::byte>& out);

/// Nothing when malformed or beyond a limit. `dim` is the model's width. A mask is looked at by
/// Executor::run, which knows the vocabulary.
[[nodiscard]] std::optional<Order> decode_order(std::span<const std::byte> bytes,
                                                std::uint32_t dim);

/// Scores without Scores::raw take not a byte for it.
void encode_scores(std::span<const Scores> scores, std::vector<std::byte>& out);
/// Nothing when malformed; no logit is NaN.
[[nodiscard]] std::optional<std::vector<Scores>> decode_scores(std::span<const std::byte> bytes);

/// How many blocks of an order a device is done with.
void encode_block_count(std::uint32_t count, std::vector<std::byte>& out);
/// Nothing when malformed or more than `most`.
[[nodiscard]] std::optional<std::uint32_t> decode_block_count(std::span<const std::byte> bytes,
                                                              std::size_t most);

}  // namespace shoal::exec
