// What is wrong with a device's settings that only the device itself can tell: files, folders,
// interfaces.
#pragma once

#include <string>
#include <vector>

#include "config/settings.hpp"
#include "mesh/messages/warning.hpp"

namespace shoal {

/// Without a device's id. Severity::error: the daemon will not start. Looks at files, folders and
/// interfaces and changes nothing.
std::vector<mesh::messages::Warning> check_setup(const config::Settings& settings);

/// Names in cluster.peers that have no address now. Asks name servers, which may take seconds.
std::vector<mesh::messages::Warning> check_peers(const config::ClusterSettings& settings);

/// For `shoald --check`: what these settings come to.
std::string setup_text(const config::Settings& settings);

}  // namespace shoal
