// The control groups that bound this process.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

namespace shoal::exec {

/// A control group's folder.
struct Cgroup {
    bool unified = true;  ///< of version 2; its files have other names in version 1
    std::filesystem::path folder;
};

/// The groups of a controller ("cpu", "memory") that this process lies in, of either version, each
/// group before those that it lies in. Folders may not exist: inside a container the paths may be
/// the host's. The mount's own top is always there.
std::vector<Cgroup> own_cgroups(const std::filesystem::path& root, std::string_view controller);

}  // namespace shoal::exec
