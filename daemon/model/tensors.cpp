#include "daemon/model/tensors.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace shoal::model {
namespace {

constexpr bool in_order() {
    for (std::size_t i = 0; i < kTensorCount; ++i) {
        if (kTensors[i].tensor != static_cast<Tensor>(i)) return false;
    }
    return true;
}
static_assert(in_order(), "the table has a row for each enumerator, in their order");

}  // namespace

std::string tensor_name::layer(std::uint32_t layer, std::string_view part) {
    return fmt::format("blk.{}.{}", layer, part);
}

std::uint32_t length(Axis axis, const Hparams& h, std::uint32_t layer) noexcept {
    switch (axis) {
        case Axis::one:
            return 1;
        case Axis::width:
            return h.dim;
        case Axis::head:
            return h.head_dim;
        case Axis::q_heads:
            return h.q_dim();
        case Axis::kv_heads:
            return h.kv_dim();
        case Axis::ffn:
            return h.layer_ff[layer];
        case Axis::experts:
            return h.n_experts;
        case Axis::vocab:
            return h.n_vocab;
    }
    return 0;
}

std::vector<ModelTensor> tensors_of(const Hparams& h) {
    std::vector<ModelTensor> out;
    const auto add = [&](const TensorSpec& spec, std::uint32_t layer, std::string name) {
        if (!spec.needed(h)) return;
        out.push_back({&spec, layer, std::move(name), length(spec.rows, h, layer),
                       length(spec.cols, h, layer), length(spec.matrices, h, layer)});
    };
    const auto of_layer = [](const TensorSpec& spec) { return spec.scope == Scope::layer; };
    const auto first = std::find_if(std::begin(kTensors), std::end(kTensors), of_layer);
    const auto last = std::find_if_not(first, std::end(kTensors), of_layer);
    for (auto it = std::begin(kTensors); it != first; ++it) add(*it, 0, std::string(it->name));
    for (std::uint32_t l = 0; l < h.n_layers; ++l) {
        for (auto it = first; it != last; ++it) add(*it, l, tensor_name::layer(l, it->name));
    }
    for (auto it = last; it != std::end(kTensors); ++it) add(*it, 0, std::string(it->name));
    return out;
}

}  // namespace shoal::model
