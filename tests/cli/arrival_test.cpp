#include "cli/arrival.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "cli/exit_codes.hpp"

namespace arrival_test {

using namespace shoal::cli;
namespace fs = std::filesystem;

namespace {

struct Folders {
    fs::path root = [] {
        std::string name = (fs::temp_directory_path() / "shoal-arrival-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        return fs::path(name);
    }();
    fs::path downloads = root / "downloads", store = root / "models";
    Folders() {
        fs::create_directory(downloads);
        fs::create_directory(store);
    }
    ~Folders() { fs::remove_all(root); }
    fs::path file(const std::string& name) const {
        std::ofstream(downloads / name) << "the bytes of " << name;
        return downloads / name;
    }
    static std::string content(const fs::path& path) {
        std::ifstream in(path);
        return {std::istreambuf_iterator<char>(in), {}};
    }
};

const Arrival::Progress kNobodyLooks = [](std::uint64_t, std::uint64_t) {};

}  // namespace

TEST_SUITE("arrival") {
    TEST_CASE_FIXTURE(Folders, "what was moved and is not kept goes back") {
        const fs::path a = file("a.gguf"), b = file("b.gguf");
        {
            Arrival arrival(store);
            arrival.bring({a, b}, Transfer::move, kNobodyLooks);
            CHECK(fs::exists(store / "a.gguf"));
            CHECK_FALSE(fs::exists(a));
        }
        CHECK(fs::is_empty(store));
        CHECK(content(a) == "the bytes of a.gguf");
        CHECK(content(b) == "the bytes of b.gguf");
    }

    TEST_CASE_FIXTURE(Folders, "what was moved and cannot go back stays: it is the only one") {
        const fs::path a = file("a.gguf");
        {
            Arrival arrival(store);
            arrival.bring({a}, Transfer::move, kNobodyLooks);
            // A disk that was pulled out meanwhile.
            fs::remove(downloads);
        }
        CHECK(content(store / "a.gguf") == "the bytes of a.gguf");
    }

    TEST_CASE_FIXTURE(Folders, "what is at its place by now is not lost for what goes back") {
        const fs::path a = file("a.gguf");
        {
            Arrival arrival(store);
            arrival.bring({a}, Transfer::move, kNobodyLooks);
            std::ofstream(a) << "another";
        }
        CHECK(content(a) == "another");
        CHECK(content(store / "a.gguf") == "the bytes of a.gguf");
    }

    TEST_CASE_FIXTURE(Folders, "of several, those moved before one that cannot be go back") {
        const fs::path a = file("a.gguf"), b = file("b.gguf");
        std::ofstream(store / "b.gguf") << "another";
        {
            Arrival arrival(store);
            CHECK_THROWS_AS(arrival.bring({a, b}, Transfer::move, kNobodyLooks), Error);
        }
        CHECK(content(a) == "the bytes of a.gguf");
        CHECK(content(b) == "the bytes of b.gguf");
        CHECK(content(store / "b.gguf") == "another");
        CHECK_FALSE(fs::exists(store / "a.gguf"));
    }

    TEST_CASE_FIXTURE(Folders, "a copy that is not kept goes, and its source never does") {
        const fs::path a = file("a.gguf");
        { Arrival(store).bring({a}, Transfer::copy, kNobodyLooks); }
        CHECK(fs::is_empty(store));
        CHECK(fs::exists(a));
        Arrival arrival(store);
        arrival.bring({a}, Transfer::move, kNobodyLooks);
        arrival.keep();
        CHECK_FALSE(fs::exists(a));
        CHECK(content(store / "a.gguf") == "the bytes of a.gguf");
    }
}

}  // namespace arrival_test
