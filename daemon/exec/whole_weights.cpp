#include "daemon/exec/whole_weights.hpp"

#include <algorithm>
#include <utility>

namespace shoal::exec {

WholeWeights WholeWeights::load(const model::WeightSource& source, const model::Hparams& hparams,
                                const kernels::Table& kernels, ThreadPool& pool,
                                std::uint64_t memory_bytes,
                                const SliceWeights::Progress& progress) {
    const shard::LayerBytes sizes = shard::whole_layer_bytes(source.header(), hparams);
    // All of them need no room for one that is read.
    const std::uint64_t room = memory_bytes >= sizes.all
                                   ? sizes.all
                                   : memory_bytes - std::min(memory_bytes, sizes.largest);
    WholeWeights out(source, hparams, kernels, pool);
    out.parts_ = shard::whole_layers(source.header(), hparams);
    std::uint64_t held = 0;
    for (const auto& parts : out.parts_) {
        const std::uint64_t bytes = shard::held_bytes(source.header(), parts);
        if (held + bytes > room) break;
        out.held_.push_back(SliceWeights::load(
            source, hparams, parts, kernels, pool,
            [&](std::uint64_t done, std::uint64_t) { progress(held + done, room); }, {}));
        held += bytes;
    }
    for (const auto& parts : out.parts_) {
        for (const shard::SlicePart& part : parts) {
            const model::TensorInfo& info = source.header().tensor(part.piece.tensor);
            out.reads_floats_ |= shard::reads_floats(part, info.type);
        }
    }
    return out;
}

const WeightsView& WholeWeights::layer(std::uint32_t number) {
    if (number < held_.size()) return held_[number].layer(number);
    if (number == read_number_) return read_.layer(number);
    read_number_.reset();
    read_ = SliceWeights::load(source_, hp_, parts_[number], kernels_, pool_, {}, std::move(read_));
    read_number_ = number;
    return read_.layer(number);
}

std::uint64_t WholeWeights::bytes() const noexcept {
    std::uint64_t bytes = read_.bytes();
    for (const SliceWeights& layer : held_) bytes += layer.bytes();
    return bytes;
}

}  // namespace shoal::exec
