#include "mesh/wire/identity.hpp"

#include <doctest/doctest.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "mesh/discovery/cluster_key.hpp"
#include "mesh/disk/whole_file.hpp"
#include "mesh/transport/identity_store.hpp"
#include "mesh/transport/state_file.hpp"
#include "mesh/transport/state_lock.hpp"
#include "tests/mesh/temp_dir.hpp"

namespace identity_test {

using namespace shoal::mesh;
using shoal::tests::TempDir;

namespace {

void write(const std::filesystem::path& path, const std::string& text, mode_t mode) {
    std::ofstream(path) << text;
    ::chmod(path.c_str(), mode);
}

std::string slurp(const std::filesystem::path& path) {
    return transport::read_state_file(path).value().text;
}

}  // namespace

TEST_SUITE("identity") {
    TEST_CASE("an id survives the way to hexadecimal digits and back") {
        DeviceId id;
        for (std::size_t i = 0; i < id.bytes.size(); ++i) {
            id.bytes[i] = static_cast<std::uint8_t>(i * 17 + 3);
        }
        CHECK(id.hex().size() == 32);
        CHECK(DeviceId::from_hex(id.hex()) == id);
        CHECK(DeviceId::from_hex("03142536475869 a") == std::nullopt);
        CHECK(DeviceId::from_hex(id.hex() + "00") == std::nullopt);
        CHECK(DeviceId::from_hex("") == std::nullopt);
    }

    TEST_CASE("terms are ordered by counter, then by candidate") {
        DeviceId a, b;
        b.bytes[15] = 1;
        CHECK(Term{1, b} < Term{2, a});
        CHECK(Term{2, a} < Term{2, b});
        CHECK(Term{} < Term{1, a});
    }

    TEST_CASE("a state folder has one daemon, and another is told which") {
        const TempDir dir;
        const auto state = dir.path() / "state";
        const auto refusal = [&]() -> std::string {
            try {
                const transport::StateLock second(state);
                return "";
            } catch (const std::runtime_error& error) {
                return error.what();
            }
        };
        {
            const transport::StateLock first(state);
            CHECK(std::filesystem::is_directory(state));
            CHECK(refusal().find(state.string()) != std::string::npos);
            CHECK(refusal().find("process " + std::to_string(::getpid())) != std::string::npos);
        }
        CHECK(refusal().empty());
        CHECK_THROWS_WITH_AS(transport::StateLock("/proc/no/such"), doctest::Contains("/proc/no"),
                             std::runtime_error);
    }

    TEST_CASE("a device keeps its identity over restarts, in a file that only it may read") {
        const TempDir dir;
        const auto state = dir.path() / "state";
        const Identity first = load_or_create_identity(state);
        const Identity second = load_or_create_identity(state);
        CHECK(first.public_key == second.public_key);
        CHECK(first.secret_key == second.secret_key);
        CHECK(first.id == device_id_of(first.public_key));
        struct stat info {};
        REQUIRE(::stat((state / "device.key").c_str(), &info) == 0);
        CHECK((info.st_mode & 07777) == 0600);
        CHECK(generate_identity().id != first.id);
    }

    TEST_CASE("a device key that others may read, or that is damaged, is refused with its path") {
        const TempDir dir;
        load_or_create_identity(dir.path());
        const auto path = dir.path() / "device.key";
        const std::string good = slurp(path);
        ::chmod(path.c_str(), 0640);
        CHECK_THROWS_WITH(load_or_create_identity(dir.path()), doctest::Contains("chmod 600"));
        std::string swapped = good;
        swapped[swapped.find("public ") + 7] ^= 1;
        for (const std::string& bad :
             {std::string(), good.substr(0, 60), swapped, "x" + good, std::string(5000, 'a')}) {
            write(path, bad, 0600);
            CHECK_THROWS_WITH(load_or_create_identity(dir.path()), doctest::Contains(path.c_str()));
        }
        write(path, good, 0600);
        CHECK_NOTHROW(load_or_create_identity(dir.path()));
    }

    TEST_CASE("a state file is created once and replaced whole") {
        const TempDir dir;
        const auto path = dir.path() / "counter";
        CHECK_FALSE(transport::read_state_file(path).has_value());
        CHECK(shoal::disk::create_file(path, "one", 0600));
        CHECK_FALSE(shoal::disk::create_file(path, "two", 0600));
        CHECK(slurp(path) == "one");
        shoal::disk::replace_file(path, "three", 0600);
        CHECK(slurp(path) == "three");
        CHECK(std::distance(std::filesystem::directory_iterator(dir.path()), {}) == 1);
        CHECK_THROWS(transport::read_state_file(dir.path()));
        CHECK_THROWS(shoal::disk::replace_file(dir.path() / "no" / "file", "x", 0600));
    }
}

TEST_SUITE("cluster key") {
    TEST_CASE("a key that is missing is made once, whole, for its owner alone") {
        const TempDir dir;
        const auto path = dir.path() / "cluster.key";
        bool made = false;
        const ClusterKey key = load_or_make_cluster_key(path, made);
        CHECK(made);
        CHECK(load_or_make_cluster_key(path, made) == key);
        CHECK_FALSE(made);
        struct stat info {};
        REQUIRE(::stat(path.c_str(), &info) == 0);
        CHECK((info.st_mode & 07777) == 0600);
        CHECK(std::distance(std::filesystem::directory_iterator(dir.path()), {}) == 1);
        // One that is there and of no use is not replaced: its cluster would lose this device.
        write(path, "shoal1-abc\n", 0600);
        CHECK_THROWS_WITH(load_or_make_cluster_key(path, made),
                          doctest::Contains("no valid cluster key"));
        CHECK_THROWS(load_or_make_cluster_key(dir.path() / "no" / "cluster.key", made));
    }

    TEST_CASE("text round-trips, also as people type it") {
        const ClusterKey key = generate_cluster_key();
        const std::string text = key.text();
        CHECK(text.size() == 7 + 56 + 7);
        std::string why;
        CHECK(parse_cluster_key(text, why) == key);
        std::string upper = text, joined = text.substr(0, 7);
        for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
        for (const char c : text.substr(7)) {
            if (c != '-') joined.push_back(c == '0' ? 'o' : c == '1' ? 'l' : c);
        }
        CHECK(parse_cluster_key(upper, why) == key);
        CHECK(parse_cluster_key(joined, why) == key);
    }

    TEST_CASE("every single wrong character and every swap of neighbours is caught") {
        const ClusterKey key = generate_cluster_key();
        const std::string text = key.text();
        std::string why;
        for (std::size_t i = 7; i < text.size(); ++i) {
            if (text[i] == '-') continue;
            std::string typo = text;
            typo[i] = text[i] == '7' ? '8' : '7';
            CHECK(parse_cluster_key(typo, why) == std::nullopt);
            CHECK(why.find("checksum") != std::string::npos);
            if (i + 1 < text.size() && text[i + 1] != '-' && text[i] != text[i + 1]) {
                std::string swap = text;
                std::swap(swap[i], swap[i + 1]);
                CHECK(parse_cluster_key(swap, why) == std::nullopt);
            }
        }
        for (const std::string& bad :
             {std::string(), text.substr(0, 20), text + "0", "x" + text, text.substr(7),
              text.substr(0, 30) + "!" + text.substr(31)}) {
            why.clear();
            CHECK(parse_cluster_key(bad, why) == std::nullopt);
            CHECK(!why.empty());
        }
    }

    TEST_CASE("the fingerprint names the cluster and differs from the secret and the beacon key") {
        const ClusterKey a = generate_cluster_key(), b = generate_cluster_key();
        CHECK(a.fingerprint() != b.fingerprint());
        CHECK(a.fingerprint().size() == 14);
        CHECK(a.beacon_key() != b.beacon_key());
        CHECK(a.beacon_key() != a.secret);
    }

    TEST_CASE("a key file is read with comments and refused when it is open or wrong") {
        const TempDir dir;
        const auto path = dir.path() / "cluster.key";
        CHECK_THROWS_WITH(load_cluster_key(path), doctest::Contains("no cluster key at"));
        const ClusterKey key = generate_cluster_key();
        save_cluster_key(key, path);
        CHECK_THROWS_WITH(save_cluster_key(key, path), doctest::Contains("exists already"));
        CHECK(load_cluster_key(path) == key);
        write(path, "# home\n\n  " + key.text() + "\r\n", 0640);
        CHECK(load_cluster_key(path) == key);
        ::chmod(path.c_str(), 0644);
        CHECK_THROWS_WITH(load_cluster_key(path), doctest::Contains("chmod 640"));
        ::chmod(path.c_str(), 0660);
        CHECK_THROWS_WITH(load_cluster_key(path), doctest::Contains("chmod 640"));
        const ClusterKey old = generate_cluster_key();
        write(path, key.text() + "\n# before\n" + old.text() + "\n", 0640);
        CHECK(load_cluster_keys(path) == std::vector{key, old});
        CHECK(load_cluster_key(path) == key);
        replace_cluster_keys(std::array{old, key}, path);
        CHECK(load_cluster_keys(path) == std::vector{old, key});
        struct stat info {};
        REQUIRE(::stat(path.c_str(), &info) == 0);
        CHECK((info.st_mode & 07777) == 0640);
        const std::string line = key.text() + "\n";
        write(path, line + line + line + line + line, 0600);
        CHECK_THROWS_WITH(load_cluster_key(path), doctest::Contains("cluster.key:5"));
        write(path, "# only a comment\n", 0600);
        CHECK_THROWS_WITH(load_cluster_key(path), doctest::Contains("no cluster key"));
        write(path, key.text() + "0\n", 0600);
        CHECK_THROWS_WITH(load_cluster_key(path), doctest::Contains("this one has more"));
    }
}

}  // namespace identity_test
