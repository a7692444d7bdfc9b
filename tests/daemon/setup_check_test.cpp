#include "daemon/setup_check.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "mesh/discovery/cluster_key.hpp"
#include "mesh/transport/identity_store.hpp"
#include "tests/model/temporary_folder.hpp"

namespace setup_check_test {

using namespace shoal;
using namespace shoal::tests;
using mesh::messages::Severity;
using mesh::messages::Warning;
namespace fs = std::filesystem;

namespace {

struct Fixture {
    TemporaryFolder temporary;
    const fs::path& folder = temporary.folder;
    config::Settings settings;

    Fixture() {
        settings.device.name = "kitchen";
        settings.device.state_dir = folder / "state";
        settings.cluster.key_file = folder / "cluster.key";
        settings.control.socket = folder / "run" / "control.sock";
        settings.control.group = "";
        settings.models.directories = {folder};
        mesh::save_cluster_key(mesh::generate_cluster_key(), settings.cluster.key_file);
        std::ofstream(folder / "file") << "x";
    }
    /// The only thing that is wrong.
    Warning only() {
        const auto all = check_setup(settings);
        REQUIRE(all.size() == 1);
        CHECK(all[0].device.empty());
        return all[0];
    }
    bool fails_with(const std::string& name, const std::string& text) {
        const Warning w = only();
        CAPTURE(w.text);
        return w.severity == Severity::error && w.name == name &&
               w.text.find(text) != std::string::npos;
    }
    bool warns_of(const std::string& name, const std::string& text) {
        const Warning w = only();
        CAPTURE(w.text);
        return w.severity == Severity::warning && w.name == name && !w.remedy.empty() &&
               w.text.find(text) != std::string::npos;
    }
};

}  // namespace

TEST_SUITE("setup check") {
    TEST_CASE_FIXTURE(Fixture, "what is fine is summed up, and nothing is made") {
        CHECK(check_setup(settings).empty());
        const std::string text = setup_text(settings);
        CHECK(text.find("device kitchen") == 0);
        CHECK(text.find(mesh::load_cluster_key(settings.cluster.key_file).fingerprint()) !=
              std::string::npos);
        CHECK(text.find("control.sock for this user") != std::string::npos);
        CHECK(text.find("HTTP on 127.0.0.1:8090") != std::string::npos);
        CHECK_FALSE(fs::exists(settings.device.state_dir));
        CHECK_FALSE(fs::exists(folder / "run"));
        static_cast<void>(mesh::load_or_create_identity(settings.device.state_dir));
        CHECK(check_setup(settings).empty());
    }

    TEST_CASE_FIXTURE(Fixture, "a key that is missing, broken or open to everybody") {
        const std::string key = settings.cluster.key_file;
        chmod(key.c_str(), 0644);
        CHECK(fails_with("cluster-key", "chmod 640 " + key));
        fs::remove(key);
        CHECK(fails_with("cluster-key", "shoal key new"));
        std::ofstream(key) << "shoal1-abc\n";
        chmod(key.c_str(), 0600);
        CHECK(fails_with("cluster-key", key + " holds no valid cluster key"));
    }

    TEST_CASE_FIXTURE(Fixture, "a key that nobody named is made at the start") {
        settings.cluster.key_file.clear();
        CHECK(check_setup(settings).empty());
        CHECK(setup_text(settings).find("cluster of its own") != std::string::npos);
        fs::create_directory(settings.device.state_dir);
        std::ofstream(fs::path(settings.device.state_dir) / "cluster.key") << "shoal1-abc\n";
        chmod((fs::path(settings.device.state_dir) / "cluster.key").c_str(), 0600);
        CHECK(fails_with("cluster-key", "no valid cluster key"));
    }

    TEST_CASE_FIXTURE(Fixture, "folders that cannot be used") {
        settings.device.state_dir = folder / "file" / "state";
        CHECK(fails_with("state-folder", "file is no folder"));
        settings.device.state_dir = folder / "state";
        fs::create_directory(folder / "state");
        std::ofstream(folder / "state" / "device.key") << "nonsense";
        chmod((folder / "state" / "device.key").c_str(), 0600);
        CHECK(fails_with("device-key", "device.key is damaged"));
        fs::remove_all(folder / "state");
        settings.control.socket = folder / "file" / "control.sock";
        CHECK(fails_with("control-socket", "file is no folder"));
        settings.control.socket = folder / "control.sock";
        settings.control.group = "no-such-group";
        CHECK(fails_with("control-group", "no group \"no-such-group\""));
    }

    TEST_CASE_FIXTURE(Fixture, "what the daemon can do without is a warning") {
        settings.models.directories = {folder, folder / "none", folder / "file"};
        CHECK(warns_of("models-folder", "none and " + (folder / "file").string()));
        settings.models.directories = {};
        settings.models.cache_dir = folder / "file" / "kept";
        CHECK(warns_of("cache-folder", (folder / "file").string() + " is no folder"));
        settings.models.cache_dir = folder / "kept";
        CHECK(check_setup(settings).empty());
        settings.models.cache_dir.clear();
        settings.cluster.interfaces = {"lo", "eth987"};
        CHECK(warns_of("interface-eth987", "eth987"));
        settings.cluster.interfaces = {};
        settings.http.api_key_file = folder / "file";
        chmod((folder / "file").c_str(), 0644);
        CHECK(warns_of("api-key-file", "everybody"));
        chmod((folder / "file").c_str(), 0600);
        CHECK(check_setup(settings).empty());
    }

    TEST_CASE_FIXTURE(Fixture, "addresses that this device does not have") {
        settings.cluster.bind = "192.0.2.1";  // for documentation, RFC 5737
        CHECK(fails_with("address", "cluster.bind is 192.0.2.1"));
        settings.cluster.bind = "127.0.0.1";
        settings.http.listen = "2001:db8::1";
        CHECK(fails_with("address", "http.listen is 2001:db8::1"));
        settings.http.enabled = false;
        CHECK(check_setup(settings).empty());
    }

    TEST_CASE_FIXTURE(Fixture, "peers without an address") {
        settings.cluster.peers = {"127.0.0.1", "[::1]:5", "no-such-host.invalid:47474"};
        const auto found = check_peers(settings.cluster);
        REQUIRE(found.size() == 1);
        CHECK(found[0].name == "peer-no-such-host.invalid");
        CHECK(found[0].severity == Severity::warning);
    }
}

}  // namespace setup_check_test
