// The tensors that a description needs, and those that it must not ignore. Internal to this folder.
#pragma once

#include "daemon/model/gguf.hpp"
#include "daemon/model/hparams.hpp"

namespace shoal::model {

/// Set n_vocab from the embedding, tied_output, and qkv_bias when a bias is there. Throws
/// ModelError when the embedding is missing or has no plausible shape.
void read_tensor_facts(const GgufHeader& header, Hparams& hparams);

/// Check that every tensor of the description (tensors.hpp) is there with its shape and a usable
/// type, and that nothing is there which the forward pass would have to use and does not know.
/// Throws ModelError.
void check_tensors(const GgufHeader& header, const Hparams& hparams);

}  // namespace shoal::model
