#include "daemon/planner/work.hpp"

#include <algorithm>

#include "daemon/model/tensors.hpp"

namespace shoal::planner {

using model::Axis;

ModelWork work_of(const model::GgufHeader& header, const model::Hparams& hp) {
    ModelWork work{hp.n_layers, hp.n_heads, hp.n_kv_heads, hp.head_dim,
                   hp.n_ff,     hp.n_vocab, hp.dim,        {}};
    const auto share = [&](const model::ModelTensor& tensor, Axis axis) -> Work* {
        const model::TensorSpec& spec = *tensor.spec;
        if (spec.rows != axis && spec.cols != axis) return nullptr;
        switch (axis) {
            case Axis::q_heads:
                return &work.query_head;
            case Axis::kv_heads:
                return &work.kv_head;
            case Axis::ffn:
                return &work.ffn_column;
            default:
                return &work.vocab_row;
        }
    };
    const auto units = [&](Axis axis) -> double {
        switch (axis) {
            case Axis::q_heads:
                return hp.n_heads;
            case Axis::kv_heads:
                return hp.n_kv_heads;
            case Axis::ffn:
                return hp.n_ff;
            default:
                return hp.n_vocab;
        }
    };
    for (const model::ModelTensor& tensor : model::tensors_of(hp)) {
        if (tensor.spec->kind != model::Kind::matrix) continue;
        // Embeddings are looked up; the table is multiplied where it is the LM head.
        if (tensor.spec->tensor == model::Tensor::token_embd && !hp.tied_output) continue;
        const model::TensorInfo& info = header.tensor(tensor.name);
        const double used =
            tensor.spec->matrices == Axis::experts ? hp.n_experts_used : tensor.matrices;
        for (const Axis axis : {Axis::q_heads, Axis::kv_heads, Axis::ffn, Axis::vocab}) {
            Work* unit = share(tensor, axis);
            if (unit == nullptr) continue;
            unit->add(family_of(info.type),
                      static_cast<double>(info.bytes) * used / tensor.matrices / units(axis),
                      double{1} * tensor.rows * tensor.cols * used / units(axis));
        }
    }
    return work;
}

double attend_seconds(const DeviceProfile& profile, double rows) noexcept {
    return std::max(1 / profile.attend_many, 1 / profile.attend_one / rows);
}

double seconds_of(const Work& work, const DeviceProfile& profile, double rows) noexcept {
    double seconds = 0;
    for (std::size_t f = 0; f < kFamilyCount; ++f) {
        if (work.bytes[f] == 0) continue;
        seconds += std::max(work.bytes[f] / profile.rates[f].one_row,
                            rows * work.madds[f] / profile.rates[f].many_rows);
    }
    return seconds;
}

}  // namespace shoal::planner
