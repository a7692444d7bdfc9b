// What `shoal add` and `shoal rm` share: the daemon's folder of models, and what is told of it.
#pragma once

#include <cstdint>
#include <string>

#include "cli/session.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal::cli {

/// Thrown when the user wants to stop; the session's code() says so.
struct Stopped {};

/// Models and where they are. Throws Stopped, and Error when the daemon answers otherwise.
mesh::messages::ModelsReply known_models(Session& session);

/// A model that is there now.
struct Added {
    std::string name, path;
    std::uint64_t bytes = 0;
    std::uint64_t context = 0;  ///< with which it fits the cluster; 0: it does not
    std::string why;            ///< not
};
/// `{"event":"added",...}` and a newline.
std::string json_added(const Added& added);
/// `{"event":"removed",...}`
std::string json_removed(const std::string& name, const std::string& path);

}  // namespace shoal::cli
