#include "daemon/contact/boot_key.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>

#include "mesh/discovery/cluster_key.hpp"
#include "tests/mesh/temp_dir.hpp"

namespace boot_key_test {

using namespace shoal;
namespace fs = std::filesystem;

namespace {

/// A board with a boot partition.
struct Board {
    const tests::TempDir dir;
    const fs::path boot = dir.path() / "boot", key_path = dir.path() / "state" / "cluster.key";
    const std::vector<std::string> places{(boot / "firmware" / "shoal.key").string(),
                                          (boot / "shoal.key").string()};
    const mesh::ClusterKey key = mesh::generate_cluster_key();

    Board() { fs::create_directories(boot / "firmware"); }

    /// As a FAT partition has it: everybody may read.
    void put(std::size_t place, const std::string& text) const {
        std::ofstream(places[place]) << text;
        ::chmod(places[place].c_str(), 0755);
    }
    void start() const { take_boot_key(places, key_path); }
    bool has_key() const { return fs::exists(key_path); }
};

std::string content(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_SUITE("boot key") {
    TEST_CASE_FIXTURE(Board, "a key is taken up at the first start, for its owner, and erased") {
        put(1, "# my boards\r\n" + key.text() + "\r\n");
        // Whoever kept the file open sees that it was overwritten.
        std::ifstream kept(places[1], std::ios::binary);
        start();
        CHECK(mesh::load_cluster_key(key_path) == key);
        struct stat info {};
        REQUIRE(::stat(key_path.c_str(), &info) == 0);
        CHECK((info.st_mode & 07777) == 0600);
        CHECK_FALSE(fs::exists(places[1]));
        const std::string rest{std::istreambuf_iterator<char>(kept), {}};
        CHECK(rest.find_first_not_of('\0') == std::string::npos);
    }

    TEST_CASE_FIXTURE(Board, "of two places the first counts") {
        put(0, key.text());
        put(1, mesh::generate_cluster_key().text());
        start();
        CHECK(mesh::load_cluster_key(key_path) == key);
        CHECK_FALSE(fs::exists(places[0]));
        CHECK(fs::exists(places[1]));
    }

    TEST_CASE_FIXTURE(Board, "a device that has a key keeps it, and the file is left alone") {
        fs::create_directories(key_path.parent_path());
        const mesh::ClusterKey own = mesh::generate_cluster_key();
        mesh::save_cluster_key(own, key_path);
        put(0, key.text());
        start();
        CHECK(mesh::load_cluster_key(key_path) == own);
        CHECK(content(places[0]) == key.text());
    }

    TEST_CASE_FIXTURE(Board, "one that was taken up before the power went is erased at last") {
        fs::create_directories(key_path.parent_path());
        mesh::save_cluster_key(key, key_path);
        put(0, key.text());
        start();
        CHECK(mesh::load_cluster_key(key_path) == key);
        CHECK_FALSE(fs::exists(places[0]));
    }

    TEST_CASE_FIXTURE(Board, "what is no key changes nothing, and stays where it is") {
        for (const std::string& text :
             {std::string("nonsense"), std::string(), key.text() + "0", std::string(5000, 'x')}) {
            put(0, text);
            start();
            CHECK_FALSE(has_key());
            CHECK(content(places[0]) == text);
        }
        fs::remove(places[0]);
        fs::create_directory(places[0]);
        start();
        CHECK_FALSE(has_key());
        // The next place counts all the same.
        put(1, key.text());
        start();
        CHECK(mesh::load_cluster_key(key_path) == key);
    }

    TEST_CASE_FIXTURE(Board, "a link is not followed when it comes to erasing") {
        const fs::path precious = dir.path() / "precious";
        std::ofstream(precious) << key.text();
        fs::create_symlink(precious, places[0]);
        start();
        CHECK(mesh::load_cluster_key(key_path) == key);
        CHECK(content(precious) == key.text());
    }

    TEST_CASE_FIXTURE(Board, "without a file nothing is made") {
        start();
        CHECK_FALSE(fs::exists(key_path.parent_path()));
    }
}

}  // namespace boot_key_test
