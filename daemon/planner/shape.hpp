// The shape of a model that need not be there: for plans of what could be bought, and for tests.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/model/gguf.hpp"
#include "daemon/model/hparams.hpp"
#include "kernels/types.hpp"

namespace shoal::planner {

struct Shape {
    std::string name = "model";
    std::uint32_t n_layers = 0, dim = 0, n_heads = 0, n_kv_heads = 0, head_dim = 0, n_ff = 0,
                  n_vocab = 0, n_context = 8192;
    std::uint32_t n_experts = 0, n_experts_used = 0;
    bool tied_output = false;
    kernels::DType type = kernels::DType::q4_0;         ///< of the matrices of layers
    kernels::DType type_output = kernels::DType::q6_k;  ///< of embedding and LM head
};

/// A model by its shape: what a file's header and hyperparameters would say.
struct ShapedModel {
    model::GgufHeader header;
    model::Hparams hparams;
};

/// Throws model::ModelError when rows of the shape do not fit the types' blocks, or heads the KV
/// heads.
ShapedModel model_of(const Shape& shape);

}  // namespace shoal::planner
