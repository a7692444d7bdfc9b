#include "daemon/exec/cgroups.hpp"

#include <fstream>
#include <string>

namespace shoal::exec {

namespace fs = std::filesystem;

// Lines of /proc/self/cgroup: "0::/user.slice/x" (v2), "4:cpu,cpuacct:/docker/x" (v1).
std::vector<Cgroup> own_cgroups(const fs::path& root, std::string_view controller) {
    const fs::path mounts = root / "sys/fs/cgroup";
    const std::string wanted = ',' + std::string(controller) + ',';
    std::vector<Cgroup> groups;
    std::ifstream file(root / "proc/self/cgroup");
    for (std::string line; std::getline(file, line);) {
        const auto first = line.find(':');
        const auto second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const bool unified = controllers.empty();
        if (!unified && (',' + controllers + ',').find(wanted) == std::string::npos) continue;
        fs::path mount = mounts;
        if (!unified) {
            mount /= fs::exists(mounts / controllers) ? controllers : std::string(controller);
        }
        const fs::path group = line.substr(second + 1);
        for (fs::path at = group.relative_path();; at = at.parent_path()) {
            groups.push_back({unified, mount / at});
            if (at.empty()) break;
        }
    }
    return groups;
}

}  // namespace shoal::exec
