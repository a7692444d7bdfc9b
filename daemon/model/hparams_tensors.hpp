// The tensors that a description needs, and those that it must not ignore. Internal to this folder.
#pragma once

#include "daemon/model/gguf.hpp"
#include "daemon/model/hparams.hpp"

namespace shoal::model {

/// Set qkv_bias, qk_norm and tied_output from the tensors that are there, and n_vocab from the
/// embedding. Throws ModelError when the embedding is missing or has no plausible shape.
void read_tensor_facts(const GgufHeader& header, Hparams& hparams);

/// Check that every tensor of the description is there with its shape and a usable type, and that
/// nothing is there which the forward pass would have to use and does not know.
/// Throws ModelError.
void check_tensors(const GgufHeader& header, const Hparams& hparams);

}  // namespace shoal::model
