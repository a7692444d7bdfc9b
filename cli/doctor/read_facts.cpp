#include <sys/stat.h>
#include <sys/timex.h>

#include <chrono>

#include "cli/doctor/facts.hpp"
#include "config/load.hpp"
#include "mesh/discovery/cluster_key.hpp"

namespace shoal::cli::doctor {
namespace {

void read_settings(const Tree& tree, const std::string& named, Facts& facts) {
    facts.settings_file = named.empty() ? config::kDefaultFile : named;
    const auto text = tree.text(facts.settings_file, config::kMaxFileBytes);
    if (!text) {
        if (!named.empty()) facts.settings_error = facts.settings_file + " cannot be read";
        return;
    }
    try {
        facts.settings = config::parse_settings(*text, facts.settings_file, {}, {});
    } catch (const config::ConfigError& error) {
        facts.settings_error = error.what();
    }
}

Facts::Key read_key(const Tree& tree, const config::Settings& settings) {
    Facts::Key key;
    key.file = config::cluster_key_file(settings);
    struct stat info {};
    if (stat(tree.at(key.file).c_str(), &info) != 0) return key;
    key.mode = info.st_mode & 07777;
    try {
        key.fingerprint = mesh::load_cluster_key(tree.at(key.file)).fingerprint();
    } catch (const std::runtime_error&) {
        // It is for the daemon alone.
    }
    return key;
}

/// By systemd's own service a file says so; of any other the kernel knows.
std::optional<bool> clock_synchronised(const Tree& tree) {
    if (tree.exists("/run/systemd/timesync")) {
        return tree.exists("/run/systemd/timesync/synchronized");
    }
    if (!tree.is_system()) return std::nullopt;
    timex state{};
    return adjtimex(&state) != TIME_ERROR;
}

std::optional<bool> starts_with_system(const Tree& tree) {
    const std::string unit = "shoald.service";
    if (!tree.exists("/lib/systemd/system/" + unit) &&
        !tree.exists("/usr/lib/systemd/system/" + unit)) {
        return std::nullopt;
    }
    // A link, whose target need not be visible from here.
    std::error_code ignored;
    const auto link = tree.at("/etc/systemd/system/multi-user.target.wants/" + unit);
    return std::filesystem::symlink_status(link, ignored).type() !=
           std::filesystem::file_type::not_found;
}

}  // namespace

Facts read_facts(const Tree& tree, const std::string& settings_file, DaemonFacts daemon) {
    Facts facts;
    read_settings(tree, settings_file, facts);
    facts.key = read_key(tree, facts.settings);
    facts.clock_synchronised = clock_synchronised(tree);
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    facts.seconds_since_1970 =
        static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count());
    facts.memory = read_memory(tree);
    facts.cpu = read_cpu(tree, facts.seconds_since_1970);
    facts.network = read_network(tree, facts.settings);
    facts.disk = read_disk(tree, facts.settings);
    facts.daemon = std::move(daemon);
    facts.daemon.starts_with_system = starts_with_system(tree);
    if (facts.daemon.process > 0) {
        const std::string file = "/proc/" + std::to_string(facts.daemon.process) + "/status";
        const auto kib = tree.number_after(file, "VmSwap:");
        if (kib) facts.daemon.swapped_bytes = *kib * 1024;
    }
    if (facts.daemon.status && tree.is_system()) {
        facts.network.paths = try_paths(*facts.daemon.status);
    }
    return facts;
}

}  // namespace shoal::cli::doctor
