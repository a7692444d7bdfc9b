// What a text's tokens are, and what text tokens are: requests that need a vocabulary and no plan.
#pragma once

#include <stop_token>

#include "daemon/model/tokenizer.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal {

/// The reply, or Failed when it would be too long for a message. Takes long for a long text; once a
/// stop is requested it returns soon, with something that is of no use. Requires: a
/// TokenizeRequest or a DetokenizeRequest.
mesh::messages::Event answer_text(const mesh::messages::Request& request,
                                  const model::Tokenizer& tokenizer, const std::stop_token& stop);

}  // namespace shoal
