// Which model a request means by a name or a hash.
#pragma once

#include <optional>
#include <string>

#include "daemon/plan/plan_root.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal {

/// The name of a model in a request, or null for a request that names none.
std::string* model_of(mesh::messages::Request& request);
const std::string* model_of(const mesh::messages::Request& request);

struct FoundModel {
    std::optional<KnownModel> model;
    std::string why;             ///< there is none, for a person
    bool nobody_has_it = false;  ///< rather than several
};

/// `name` is a model's, with or without ".gguf", or its hash, of which eight digits are enough when
/// no other begins with them. Empty: the model that is loaded, or the only one.
FoundModel find_model(const mesh::messages::ModelsReply& known, const std::string& name);

}  // namespace shoal
