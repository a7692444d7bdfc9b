#include "daemon/measure/layers.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "daemon/exec/collective.hpp"
#include "daemon/exec/executor.hpp"
#include "daemon/exec/residual.hpp"
#include "daemon/exec/weights.hpp"
#include "daemon/planner/shape.hpp"
#include "daemon/shard/cutter.hpp"

namespace shoal::measure {
namespace {

constexpr std::uint32_t kStreamDim = 2048, kStreamRows = 64;
// Of the models: matrices that all loops share out among threads, and that are quickly read.
constexpr std::uint32_t kDim = 256, kHeads = 4, kVocab = 32;
constexpr std::uint32_t kNarrow = 512, kWide = 4096;
constexpr std::uint64_t kMostBytes = std::uint64_t{16} << 20;
// Never less: a profile's numbers are positive.
constexpr double kLeastSeconds = 1e-7;

// Weights that come from nowhere.
class MadeWeights final : public model::WeightSource {
  public:
    explicit MadeWeights(const model::GgufHeader& header) : header_(header) {}
    const model::GgufHeader& header() const noexcept override { return header_; }
    std::span<const std::byte> header_bytes() const noexcept override { return {}; }
    void read(const model::Piece&, std::uint64_t, std::span<std::byte> out) const override {
        fill_weights(out);
    }
    void expect(const model::Piece&, std::uint64_t, std::uint64_t) const override {}

  private:
    const model::GgufHeader& header_;
};

struct Layer {
    double bytes = 0, seconds = 0;
};

planner::ShapedModel shaped(std::uint32_t n_ff, std::uint32_t layers) {
    planner::Shape shape;
    shape.n_layers = layers;
    shape.dim = kDim;
    shape.n_heads = shape.n_kv_heads = kHeads;
    shape.head_dim = kDim / kHeads;
    shape.n_ff = n_ff;
    shape.n_vocab = kVocab;
    shape.type = shape.type_output = kernels::DType::q8_0;
    return planner::model_of(shape);
}

// A layer of a model that decodes its first token, with so many layers that both models are equally
// large: their weights then lie in the same caches.
Layer decoded(const kernels::Table& kernels, exec::ThreadPool& pool, std::uint32_t n_ff,
              std::uint64_t bytes, const Passes& passes) {
    const std::uint64_t layer =
        kernels::row_bytes(kernels::DType::q8_0, kDim) * (4 * kDim + 3 * n_ff);
    const auto layers = static_cast<std::uint32_t>(std::max<std::uint64_t>(bytes / layer, 1));
    const planner::ShapedModel model = shaped(n_ff, layers);
    const shard::Slice slice = shard::cut_evenly(model.header, model.hparams, 1).front();
    const MadeWeights source(model.header);
    const auto weights = exec::SliceWeights::load(source, model.hparams, slice, kernels, pool,
                                                  [](std::uint64_t, std::uint64_t) {});
    exec::ExecutorOptions options;
    options.max_rows = options.max_outputs = 1;
    options.kv_positions = exec::KvCache::kBlockPositions;
    exec::Executor executor(model.hparams, slice, weights, kernels, pool, options);
    exec::SoloCollective alone;
    exec::Step step;
    step.rows = {{1, 0}};
    step.outputs.resize(1);
    const std::vector<float> embedding(kDim, 0.5F);
    const auto embedded = std::as_bytes(std::span(embedding));
    step.embeddings.assign(embedded.begin(), embedded.end());
    const double seconds = passes.quickest([&] { static_cast<void>(executor.run(step, alone)); });
    return {static_cast<double>(weights.bytes()) / layers, seconds / layers};
}

}  // namespace

double stream_elements(const kernels::Table& kernels, exec::ThreadPool& pool,
                       const Passes& passes) {
    model::Hparams hp;
    hp.dim = kStreamDim;
    exec::Residual residual(hp, kernels, pool, exec::PayloadType::q8_0, 0, kStreamRows, false);
    exec::Matrix reader;
    reader.type = kernels::DType::q8_0;
    reader.rows = 1;
    const std::vector<float> weights(kStreamDim, 1.0F);
    const std::vector<float> x(std::size_t{kStreamRows} * kStreamDim, 0.5F);
    const std::vector<float> partial(x.size(), 0.25F);
    const auto embeddings = std::as_bytes(std::span(x));
    exec::SoloCollective alone;
    residual.begin(kStreamRows, kernels::DType::f32, embeddings.data());
    residual.norm(weights.data(), {&reader});
    const double seconds = passes.quickest([&] {
        static_cast<void>(residual.add(alone, partial.data()));
        residual.norm(weights.data(), {&reader});
    });
    return static_cast<double>(x.size()) / seconds;
}

double layer_seconds(const kernels::Table& kernels, exec::ThreadPool& pool, std::uint64_t bytes,
                     const Passes& passes) {
    const std::uint64_t all = std::min(bytes, kMostBytes);
    const Layer narrow = decoded(kernels, pool, kNarrow, all, passes);
    const Layer wide = decoded(kernels, pool, kWide, all, passes);
    const double per_byte =
        std::max(0.0, wide.seconds - narrow.seconds) / (wide.bytes - narrow.bytes);
    return std::max(narrow.seconds - narrow.bytes * per_byte, kLeastSeconds);
}

}  // namespace shoal::measure
