#include <fmt/format.h>

#include <algorithm>

#include "cli/doctor/checks.hpp"
#include "cli/terminal.hpp"

namespace shoal::cli::doctor {
namespace {

/// What others than the owner may do with a key's file so that the daemon refuses it.
constexpr unsigned kTooOpen = 026;

/// Whether systemd starts the daemon that was asked.
bool is_service(const Facts& facts) {
    return facts.daemon.starts_with_system.has_value() &&
           facts.daemon.socket == config::ControlSettings{}.socket;
}

std::string name_of(const mesh::messages::DeviceInfo& device) {
    return device.name.empty() ? device.id.substr(0, 8) : device.name;
}

std::string name_of(const mesh::messages::StatusReply& status, const std::string& id) {
    const auto found = std::ranges::find(status.devices, id, &mesh::messages::DeviceInfo::id);
    return found == status.devices.end() ? id.substr(0, 8) : name_of(*found);
}

std::ptrdiff_t alive(const mesh::messages::StatusReply& status) {
    return std::ranges::count(status.devices, true, &mesh::messages::DeviceInfo::alive);
}

}  // namespace

Found check_settings(const Facts& facts) {
    if (facts.settings_error.empty()) return Findings{};
    return Findings{{Severity::error, "the daemon refuses its settings: " + facts.settings_error,
                     "shoald --check --config " + facts.settings_file,
                     "Correct what it names, then restart the daemon."}};
}

Found check_daemon(const Facts& facts) {
    if (facts.daemon.status) return Findings{};
    // The first line says what is wrong, the second what to do.
    const auto told = lines(facts.daemon.silence);
    const bool group = facts.daemon.silence.find("usermod") != std::string::npos;
    Finding finding{Severity::error, told.empty() ? "the daemon does not answer" : told[0], "", ""};
    if (group) {
        finding.command = "sudo usermod -aG shoal $USER";
        finding.advice = "Then log in again.";
    } else if (is_service(facts)) {
        finding.command = "sudo systemctl restart shoald";
        finding.advice = "`shoal logs` says why it ended.";
    } else {
        finding.command = "shoald --config " + facts.settings_file;
    }
    return Findings{finding};
}

Found check_start(const Facts& facts) {
    if (!facts.daemon.starts_with_system) return std::nullopt;
    if (*facts.daemon.starts_with_system) return Findings{};
    return Findings{{Severity::notice, "the daemon does not start when this device does",
                     "sudo systemctl enable shoald", ""}};
}

Found check_key(const Facts& facts) {
    if (!facts.key.mode) return std::nullopt;
    Findings found;
    if ((*facts.key.mode & kTooOpen) != 0) {
        // The daemon may be one of the group that reads it.
        const unsigned safe = *facts.key.mode & 0640;
        found.push_back({Severity::error,
                         fmt::format("others on this device can read or change the cluster's key "
                                     "{} (mode {:o}); whoever has it is in the cluster",
                                     facts.key.file, *facts.key.mode & 0777),
                         fmt::format("sudo chmod {:o} {}", safe, facts.key.file),
                         "",
                         {{facts.key.file, "", safe, {}}}});
    }
    const auto& status = facts.daemon.status;
    if (status && !facts.key.fingerprint.empty() && facts.key.fingerprint != status->cluster) {
        found.push_back({Severity::warning,
                         fmt::format("the daemon is in cluster {}, and the key in {} is that of {}",
                                     status->cluster, facts.key.file, facts.key.fingerprint),
                         "sudo systemctl restart shoald", "It reads the key when it starts."});
    }
    return found;
}

// A status is the root's, and tells its version.
Found check_version(const Facts& facts) {
    const auto& status = facts.daemon.status;
    if (!status) return std::nullopt;
    if (status->version == facts.client_version) return Findings{};
    const bool here = status->root.empty() || status->root == status->self;
    return Findings{{Severity::warning,
                     fmt::format("{} runs version {} of shoald, and this program is {}",
                                 here ? "this device" : name_of(*status, status->root),
                                 status->version, facts.client_version),
                     here ? "sudo systemctl restart shoald" : "",
                     "All devices of a cluster want the same version; after an update a daemon "
                     "runs the old one until it is restarted."}};
}

Found check_devices(const Facts& facts) {
    const auto& status = facts.daemon.status;
    if (!status) return std::nullopt;
    Findings found;
    if (status->root.empty()) {
        found.push_back({Severity::warning, "the devices have elected no root yet", "shoal status",
                         "It takes a second; if it lasts, devices do not see each other."});
    }
    for (const auto& device : status->devices) {
        if (device.alive) continue;
        found.push_back({Severity::warning,
                         fmt::format("{} ({}) is lost: {}", name_of(device), device.address,
                                     device.state.empty() ? "it is silent" : device.state),
                         device.address.empty() ? "" : "ping -c 3 " + device.address,
                         "Look whether it is on; if it answers, run `shoal doctor` there."});
    }
    if (alive(*status) == 1 && found.empty()) {
        found.push_back({Severity::notice, "this device is a cluster of its own", "shoal invite",
                         "It prints a line, with which `shoal join` brings another device in."});
    }
    return found;
}

Found check_warnings(const Facts& facts) {
    const auto& status = facts.daemon.status;
    if (!status) return std::nullopt;
    Findings found;
    for (const auto& warning : status->warnings) {
        const std::string who =
            warning.device.empty() ? "" : name_of(*status, warning.device) + ": ";
        found.push_back({warning.severity, who + warning.text, "",
                         warning.remedy.empty() ? "It passes by itself." : warning.remedy});
    }
    return found;
}

Found check_port(const Facts& facts) {
    const auto& http = facts.settings.http;
    if (facts.daemon.status || !http.enabled || http.port == 0) return std::nullopt;
    if (std::ranges::count(facts.network.listening, http.port) == 0) return Findings{};
    return Findings{{Severity::error,
                     fmt::format("another program listens on port {}, which the daemon wants for "
                                 "HTTP (http.port)",
                                 http.port),
                     fmt::format("sudo ss -ltnp 'sport = :{}'", http.port),
                     "It names the program; end that, or set http.port to another number."}};
}

// Its rules are for root to read. Where all see each other it lets them.
Found check_firewall(const Facts& facts) {
    if (facts.network.firewalls.empty()) return Findings{};
    const auto& status = facts.daemon.status;
    const bool complete = status && alive(*status) > 1 &&
                          alive(*status) == static_cast<std::ptrdiff_t>(status->devices.size());
    if (complete) return Findings{};
    const std::string own =
        facts.network.neighbours.empty() ? "192.168.1.0/24" : facts.network.neighbours;
    Findings found;
    for (const std::string& name : facts.network.firewalls) {
        std::string command = "sudo nft list ruleset";
        if (name == "ufw") command = fmt::format("sudo ufw allow from {}", own);
        if (name == "firewalld") {
            command = fmt::format(
                "sudo firewall-cmd --permanent --zone=trusted --add-source={} && "
                "sudo firewall-cmd --reload",
                own);
        }
        found.push_back(
            {Severity::warning,
             fmt::format("the firewall {} is on, and may keep other devices away", name), command,
             fmt::format("Devices need UDP port {} and TCP ports of each other: let those of your "
                         "network in, on each device.",
                         facts.settings.cluster.beacon_port)});
    }
    return found;
}

}  // namespace shoal::cli::doctor
