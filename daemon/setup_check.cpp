#include "daemon/setup_check.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <stdexcept>
#include <system_error>

#include "daemon/device_facts.hpp"
#include "mesh/discovery/cluster_key.hpp"
#include "mesh/discovery/interfaces.hpp"
#include "mesh/discovery/static_peers.hpp"
#include "mesh/transport/identity_store.hpp"

namespace shoal {
namespace {

namespace fs = std::filesystem;
using mesh::messages::Severity;
using mesh::messages::Warning;
using Findings = std::vector<Warning>;

constexpr mode_t kReadableByAll = 004;

std::string reason(int error) {
    return std::generic_category().message(error);
}

void add(Findings& out, std::string name, Severity severity, std::string text, std::string remedy) {
    out.push_back({std::move(name), severity, "", std::move(text), std::move(remedy)});
}

/// Why files cannot be made in a folder, or nothing. One that is missing yet counts as the nearest
/// folder above that is there.
std::string not_writable(fs::path folder) {
    std::error_code ignored;
    while (!fs::exists(folder, ignored) && folder.has_relative_path())
        folder = folder.parent_path();
    if (!fs::is_directory(folder, ignored)) return folder.string() + " is no folder";
    if (access(folder.c_str(), W_OK | X_OK) == 0) return {};
    return fmt::format("{}: {}", folder.string(), reason(errno));
}

/// Whether the daemon will make its own cluster key.
bool makes_key(const config::Settings& s) {
    std::error_code ignored;
    return s.cluster.key_file.empty() && !fs::exists(config::cluster_key_file(s), ignored);
}

void check_key(const config::Settings& s, Findings& out) {
    if (makes_key(s)) return;
    try {
        static_cast<void>(mesh::load_cluster_key(config::cluster_key_file(s)));
    } catch (const std::runtime_error& e) {
        add(out, "cluster-key", Severity::error, e.what(), "");
    }
}

void check_state(const config::DeviceSettings& s, Findings& out) {
    if (const std::string why = not_writable(s.state_dir); !why.empty()) {
        return add(out, "state-folder", Severity::error,
                   fmt::format("the state folder {} cannot be written to ({})", s.state_dir, why),
                   "give it to the daemon's user, or set device.state_dir");
    }
    std::error_code ignored;
    if (!fs::exists(fs::path(s.state_dir) / "device.key", ignored)) return;
    try {
        static_cast<void>(mesh::load_or_create_identity(s.state_dir));
    } catch (const std::runtime_error& e) {
        add(out, "device-key", Severity::error, e.what(), "");
    }
}

void check_models(const config::ModelSettings& s, Findings& out) {
    std::vector<std::string> missing;
    for (const std::string& folder : s.directories) {
        std::error_code ignored;
        const bool fine =
            fs::is_directory(folder, ignored) && access(folder.c_str(), R_OK | X_OK) == 0;
        if (!fine) missing.push_back(folder);
    }
    // Nobody said that there should be both of the folders that are searched by default.
    const bool named = s.directories != config::ModelSettings{}.directories;
    if (missing.empty() || (!named && missing.size() < s.directories.size())) return;
    add(out, "models-folder", Severity::warning,
        fmt::format("no models are found in {}, which {}", fmt::join(missing, " and "),
                    missing.size() == 1 ? "is no folder that can be read"
                                        : "are no folders that can be read"),
        "make the folder, or set models.directories");
}

void check_cache(const config::ModelSettings& s, Findings& out) {
    if (s.cache_dir.empty()) return;
    if (const std::string why = not_writable(s.cache_dir); !why.empty()) {
        add(out, "cache-folder", Severity::warning,
            fmt::format("the folder {} of models.cache_dir cannot be written to ({})", s.cache_dir,
                        why),
            "give it to the daemon's user, or set models.cache_dir");
    }
}

void check_control(const config::ControlSettings& s, Findings& out) {
    const fs::path folder = fs::path(s.socket).parent_path();
    if (const std::string why = not_writable(folder); !why.empty()) {
        add(out, "control-socket", Severity::error,
            fmt::format("the control socket {} cannot be made ({})", s.socket, why),
            "give its folder to the daemon's user, or set control.socket");
    }
    if (!s.group.empty() && getgrnam(s.group.c_str()) == nullptr) {
        add(out, "control-group", Severity::error,
            fmt::format("control.group: there is no group \"{}\" on this device", s.group),
            fmt::format("make it with 'addgroup --system {}', or set the key to \"\"", s.group));
    }
}

/// Whether this device has the address, which the system knows by letting a socket have it.
bool is_own_address(const std::string& text) {
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    v4.sin_family = AF_INET;
    v6.sin6_family = AF_INET6;
    const sockaddr* address = reinterpret_cast<const sockaddr*>(&v4);
    socklen_t size = sizeof v4;
    if (inet_pton(AF_INET, text.c_str(), &v4.sin_addr) != 1) {
        if (inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) != 1) return true;  // a name
        address = reinterpret_cast<const sockaddr*>(&v6);
        size = sizeof v6;
    }
    const int fd = socket(address->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return true;  // not known to be wrong
    const bool bound = bind(fd, address, size) == 0 || errno != EADDRNOTAVAIL;
    close(fd);
    return bound;
}

void check_network(const config::Settings& s, Findings& out) {
    std::vector<std::string> up;
    for (const auto& i : mesh::discovery::list_interfaces()) up.push_back(i.name);
    for (const std::string& name : s.cluster.interfaces) {
        if (std::find(up.begin(), up.end(), name) != up.end()) continue;
        add(out, "interface-" + name, Severity::warning,
            fmt::format("the network interface {} of cluster.interfaces is not there or not up",
                        name),
            fmt::format("set cluster.interfaces; up are {}", fmt::join(up, ", ")));
    }
    const auto own = [&](const char* key, const std::string& address) {
        if (address == "*" || is_own_address(address)) return;
        add(out, "address", Severity::error,
            fmt::format("{} is {}, which is no address of this device", key, address),
            fmt::format("set {} to an address that `ip address` shows", key));
    };
    own("cluster.bind", s.cluster.bind);
    if (s.http.enabled) own("http.listen", s.http.listen);
}

// Whether it can be read and holds a key was seen when the settings were read.
void check_api_key(const config::HttpSettings& s, Findings& out) {
    struct stat info {};
    if (!s.enabled || s.api_key_file.empty() || stat(s.api_key_file.c_str(), &info) != 0) return;
    if ((info.st_mode & kReadableByAll) == 0) return;
    add(out, "api-key-file", Severity::warning,
        fmt::format("everybody on this device can read the API key in {}", s.api_key_file),
        fmt::format("run: chmod 600 {}", s.api_key_file));
}

}  // namespace

std::vector<Warning> check_setup(const config::Settings& settings) {
    Findings out;
    check_key(settings, out);
    check_state(settings.device, out);
    check_control(settings.control, out);
    check_models(settings.models, out);
    check_cache(settings.models, out);
    check_network(settings, out);
    check_api_key(settings.http, out);
    return out;
}

std::vector<Warning> check_peers(const config::ClusterSettings& settings) {
    Findings out;
    for (const std::string& peer : settings.peers) {
        const std::string host = mesh::discovery::parse_peer(peer, settings.beacon_port).host;
        addrinfo* found = nullptr;
        const int error = getaddrinfo(host.c_str(), nullptr, nullptr, &found);
        if (error == 0) {
            freeaddrinfo(found);
            continue;
        }
        add(out, "peer-" + host, Severity::warning,
            fmt::format("the name {} of cluster.peers has no address ({})", host,
                        gai_strerror(error)),
            "give the device's IP address, or make the name known");
    }
    return out;
}

std::string setup_text(const config::Settings& s) {
    const std::string name = s.device.name.empty() ? host_name() : s.device.name;
    std::string text = fmt::format(
        "device {}, cluster {}, state in {}, control socket {} for {}", name,
        makes_key(s) ? "of its own, whose key it makes when it starts"
                     : mesh::load_cluster_key(config::cluster_key_file(s)).fingerprint(),
        s.device.state_dir, s.control.socket,
        s.control.group.empty() ? "this user" : "group " + s.control.group);
    text += s.models.directories.empty()
                ? ", no folder of models"
                : fmt::format(", models in {}", fmt::join(s.models.directories, ", "));
    return text + (s.http.enabled ? fmt::format(", HTTP on {}:{}", s.http.listen, s.http.port)
                                  : std::string(", no HTTP"));
}

}  // namespace shoal
