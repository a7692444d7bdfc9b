// What a model is, for those who ask.
#pragma once

#include "daemon/pieces/open_model.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal {

/// `info`: what is known of the model besides its file. Requires: model.tokenizer.
mesh::messages::DescribeReply describe(const OpenModel& model, mesh::messages::ModelInfo info);

}  // namespace shoal
