#include "daemon/planner/shape.hpp"

#include <fmt/core.h>

#include "daemon/model/stable_file.hpp"
#include "daemon/model/tensors.hpp"

namespace shoal::planner {

ShapedModel model_of(const Shape& s) {
    if (s.n_kv_heads == 0 || s.n_heads % s.n_kv_heads != 0) {
        throw model::ModelError(fmt::format("{}: {} query heads are no multiple of {} KV heads",
                                            s.name, s.n_heads, s.n_kv_heads));
    }
    model::Hparams hp;
    hp.architecture = s.n_experts > 0 ? "qwen3moe" : "llama";
    hp.name = s.name;
    hp.n_layers = s.n_layers;
    hp.dim = s.dim;
    hp.n_heads = s.n_heads;
    hp.n_kv_heads = s.n_kv_heads;
    hp.head_dim = s.head_dim;
    hp.n_ff = s.n_ff;
    hp.layer_ff.assign(s.n_layers, s.n_ff);
    hp.n_experts = s.n_experts;
    hp.n_experts_used = s.n_experts_used;
    hp.n_vocab = s.n_vocab;
    hp.n_context = s.n_context;
    hp.rope_dim = s.head_dim;
    hp.tied_output = s.tied_output;

    std::vector<model::TensorInfo> tensors;
    for (const model::ModelTensor& t : model::tensors_of(hp)) {
        const bool output = t.spec->scope == model::Scope::model;
        const kernels::DType type = t.spec->kind != model::Kind::matrix ? kernels::DType::f32
                                    : output                            ? s.type_output
                                                                        : s.type;
        if (t.cols % kernels::block_shape(type).elements != 0) {
            throw model::ModelError(fmt::format(
                "{}: {} has rows of {} elements, and {} needs a "
                "multiple of {}",
                s.name, t.name, t.cols, kernels::name(type), kernels::block_shape(type).elements));
        }
        const std::uint64_t rows = std::uint64_t{t.rows} * t.matrices;
        tensors.push_back(
            {t.name, type, t.cols, rows, 0, rows * kernels::row_bytes(type, t.cols), t.matrices});
    }
    return {model::GgufHeader::of(std::move(tensors), s.name), std::move(hp)};
}

}  // namespace shoal::planner
