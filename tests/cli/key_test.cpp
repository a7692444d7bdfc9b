#include <doctest/doctest.h>
#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "mesh/discovery/cluster_key.hpp"
#include "tests/cli/fake_daemon.hpp"
#include "tests/cli/process.hpp"

namespace key_test {

using namespace shoal::tests;

TEST_SUITE_BEGIN("cli/key");

TEST_CASE("a new key is a private file that the daemon can read, and is never printed") {
    const TempDir dir;
    const std::string file = dir.file("cluster.key");
    const Result result = run_shoal({"key", "new", file});
    CHECK(result.code == 0);
    const auto key = shoal::mesh::load_cluster_key(file);
    CHECK(result.out.find("Fingerprint: " + key.fingerprint() + "\n") != std::string::npos);
    CHECK((result.out + result.err).find(key.text()) == std::string::npos);
    struct stat status {};
    REQUIRE(stat(file.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);

    CHECK(run_shoal({"key", "show-fingerprint", file}).out == key.fingerprint() + "\n");
    const auto json =
        nlohmann::json::parse(run_shoal({"key", "show-fingerprint", file, "--json"}).out);
    CHECK(json["fingerprint"] == key.fingerprint());
}

TEST_CASE("an existing key is never overwritten") {
    const TempDir dir;
    const std::string file = dir.file("cluster.key");
    CHECK(run_shoal({"key", "new", file}).code == 0);
    const auto before = shoal::mesh::load_cluster_key(file);
    const Result result = run_shoal({"key", "new", file});
    CHECK(result.code == 1);
    CHECK(result.err.find(file) != std::string::npos);
    CHECK(shoal::mesh::load_cluster_key(file) == before);
}

TEST_CASE("a file that is no key is refused by name") {
    const TempDir dir;
    std::ofstream(dir.file("bad")) << "hello\n";
    Result result = run_shoal({"key", "show-fingerprint", dir.file("bad")});
    CHECK(result.code == 1);
    CHECK(result.err.find(dir.file("bad")) != std::string::npos);
    result = run_shoal({"key", "show-fingerprint", dir.file("none")});
    CHECK(result.code == 1);
}

TEST_SUITE_END();

}  // namespace key_test
