// What a text's tokens are, what text tokens are, what a model is: requests that need a model's
// description and vocabulary, and no plan.
#pragma once

#include <stop_token>

#include "daemon/pieces/open_model.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal {

/// The requests that are answered here.
bool is_text(const mesh::messages::Request& request) noexcept;

/// The reply, or Failed when it would be too long for a message, or a chat's template refuses.
/// Takes long for a long text; once a stop is requested it returns soon, with something that is of
/// no use. `info`: what is known of the model. Requires: is_text(request).
mesh::messages::Event answer_text(const mesh::messages::Request& request, const OpenModel& model,
                                  mesh::messages::ModelInfo info, const std::stop_token& stop);

}  // namespace shoal
