#include "daemon/measure/attending.hpp"

#include <algorithm>
#include <vector>

#include "daemon/exec/attention.hpp"
#include "daemon/exec/kv_cache.hpp"

namespace shoal::measure {
namespace {

using exec::KvCache;

constexpr std::uint32_t kKvHeads = 8, kGroup = 4, kHeadDim = 64;
constexpr std::uint32_t kQueryHeads = kKvHeads * kGroup;
constexpr exec::SequenceId kSequence = 1;
// Rows of a prompt that attend to this many positions, and those before them in the step.
constexpr std::uint32_t kManyPositions = 512, kRowsTogether = 64;

// One layer's cache of one sequence, with its attention.
class Attended {
  public:
    Attended(const kernels::Table& kernels, exec::ThreadPool& pool, std::uint32_t positions,
             std::uint32_t rows)
        : cache_({1, kKvHeads, kHeadDim, kernels::KvType::f16}, positions),
          attention_(kernels, pool, cache_, {{0, kQueryHeads}, {0, kKvHeads}, {}, {}}, kGroup,
                     positions, rows),
          q_(std::size_t{rows} * kQueryHeads * kHeadDim, 0.5F),
          out_(q_.size()) {
        // The cache has as many blocks as the sequence takes.
        static_cast<void>(cache_.reserve(kSequence, 0, positions));
        const auto blocks = cache_.blocks(kSequence);
        // Memory that was never written is one page, which lies in the cache.
        for (const std::uint32_t block : blocks) {
            for (std::uint32_t head = 0; head < kKvHeads; ++head) {
                fill_weights({cache_.k(block, 0, head), cache_.head_bytes()});
                fill_weights({cache_.v(block, 0, head), cache_.head_bytes()});
            }
        }
        for (std::uint32_t r = 0; r < rows; ++r) rows_.push_back({positions - rows + r, blocks});
    }

    double rate(const Passes& passes) {
        const double seconds = passes.quickest(
            [&] { attention_.run(0, rows_, q_.data(), out_.data(), kQueryHeads * kHeadDim); });
        double attended = 0;
        for (const exec::AttendRow& row : rows_) attended += row.position + 1.0;
        return attended * kQueryHeads * kHeadDim / seconds;
    }

  private:
    KvCache cache_;
    exec::Attention attention_;
    std::vector<float> q_, out_;
    std::vector<exec::AttendRow> rows_;
};

}  // namespace

double attend_one(const kernels::Table& kernels, exec::ThreadPool& pool, std::uint64_t bytes,
                  const Passes& passes) {
    const std::uint64_t block =
        std::uint64_t{KvCache::kBlockPositions} * kKvHeads * kHeadDim * 2 * sizeof(std::uint16_t);
    const auto blocks = static_cast<std::uint32_t>(std::max<std::uint64_t>(bytes / block, 1));
    return Attended(kernels, pool, blocks * KvCache::kBlockPositions, 1).rate(passes);
}

double attend_many(const kernels::Table& kernels, exec::ThreadPool& pool, const Passes& passes) {
    return Attended(kernels, pool, kManyPositions + kRowsTogether, kRowsTogether).rate(passes);
}

}  // namespace shoal::measure
