#include "daemon/pieces/arriving_model.hpp"

#include <doctest/doctest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "daemon/model/split.hpp"
#include "tests/daemon/pieces/coming_model.hpp"

namespace arriving_model_test {

// As on file systems that cannot promise to replace nothing (NFS, many of FUSE).
std::atomic<bool> no_promise{false};

}  // namespace arriving_model_test

// Comes before the C library's.
extern "C" int renameat2(int from_folder, const char* from, int to_folder, const char* to,
                         unsigned flags) noexcept {
    if (flags != 0 && arriving_model_test::no_promise) {
        errno = EINVAL;
        return -1;
    }
    return static_cast<int>(syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
}

namespace arriving_model_test {

using namespace shoal;
using namespace shoal::tests;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kChunk = piece_file::kChunk;

struct Fixture : ComingModel {
    ~Fixture() { no_promise = false; }
};

}  // namespace

TEST_SUITE("ArrivingModel") {
    TEST_CASE_FIXTURE(Fixture,
                      "a file takes its name when all of it is there, and is what was sent") {
        open();
        CHECK(begin() == 0);
        CHECK(write(0) == kChunk);
        CHECK(write(kChunk) == 2 * kChunk);
        CHECK_FALSE(fs::exists(models.folder / "llama.gguf"));
        CHECK(write(2 * kChunk) == files[0].size());
        no_promise = true;
        SUBCASE("where the file system keeps a name that is taken") {
            no_promise = false;
        }
        SUBCASE("where it does not") {}
        fs::path named;
        model::FileStamp stamp;
        const fs::path path = coming->finish([&](const fs::path& first, const auto& of) {
            named = first;
            stamp = of;
            CHECK_FALSE(fs::exists(first));
        });
        CHECK(path == named);
        CHECK(stamp == model::FileStamp::of(path));
        CHECK(path == fs::canonical(models.folder) / "llama.gguf");
        CHECK(content(path) == files[0]);
        CHECK(entries() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "it goes on behind the last good chunk") {
        open();
        begin();
        write(0);
        write(kChunk);
        SUBCASE("both are good") {
            open();
            CHECK(begin() == 2 * kChunk);
        }
        SUBCASE("the second was damaged") {
            coming.reset();
            std::fstream(hidden(), std::ios::in | std::ios::out | std::ios::binary)
                .seekp(kChunk + 5)
                .put('x');
            open();
            CHECK(begin() == kChunk);
            write(kChunk);
        }
        SUBCASE("it was cut short") {
            coming.reset();
            fs::resize_file(hidden(), kChunk + 5);
            open();
            CHECK(begin() == 0);
            write(0);
            write(kChunk);
        }
        write(2 * kChunk);
        CHECK(content(coming->finish()) == files[0]);
    }

    TEST_CASE_FIXTURE(Fixture, "one that was whole but for its name needs nothing more") {
        open();
        fill();
        SUBCASE("with its hashes") {}
        SUBCASE("without") {
            coming.reset();
            fs::resize_file(hidden(), files[0].size());
        }
        open();
        CHECK(begin() == files[0].size());
        CHECK(content(coming->finish()) == files[0]);
    }

    TEST_CASE_FIXTURE(Fixture, "the parts of a split model are files of their own") {
        files = {noise(kChunk + 1, 1), noise(500, 2), noise(3 * kChunk, 3)};
        open();
        fill(1);
        fill(2);
        // The daemon ends, and begins with the first again.
        open();
        CHECK(begin(1) == files[0].size());
        CHECK(begin(2) == files[1].size());
        fill(3);
        CHECK(coming->finish().filename() == "llama-00001-of-00003.gguf");
        for (std::uint32_t part = 1; part <= 3; ++part) {
            CHECK(content(models.folder / model::SplitName{"llama", part, 3}.file(part)) ==
                  files[part - 1]);
        }
        CHECK(entries() == 3);
        // It ended while they took their names.
        fs::rename(models.folder / "llama-00003-of-00003.gguf", hidden(3));
        open();
        for (std::uint32_t part = 1; part <= 3; ++part)
            CHECK(begin(part) == files[part - 1].size());
        coming->finish();
        CHECK(content(models.folder / "llama-00003-of-00003.gguf") == files[2]);
    }

    TEST_CASE_FIXTURE(Fixture, "what is not the model takes no name, and goes") {
        open();
        begin();
        write(0);
        auto wrong = noise(kChunk, 9);
        coming->write(kChunk, wrong);
        write(2 * kChunk);
        CHECK_THROWS_AS(coming->finish(), model::ModelError);
        CHECK(entries() == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "it replaces no file, and notices when it was removed") {
        open();
        SUBCASE("another one of its name") {
            std::ofstream(models.folder / "llama.gguf") << "mine";
            CHECK_THROWS_AS(begin(), model::ModelError);
            CHECK(content(models.folder / "llama.gguf").size() == 4);
        }
        SUBCASE("another one of its name and length") {
            const auto other = noise(files[0].size(), 8);
            std::ofstream(models.folder / "llama.gguf", std::ios::binary)
                .write(reinterpret_cast<const char*>(other.data()),
                       static_cast<std::streamsize>(other.size()));
            CHECK(begin() == files[0].size());
            CHECK_THROWS_AS(coming->finish(), model::ModelError);
            CHECK(content(models.folder / "llama.gguf") == other);
        }
        SUBCASE("it comes at the last moment") {
            fill();
            std::ofstream(models.folder / "llama.gguf") << "mine";
            SUBCASE("where the file system keeps it") {}
            SUBCASE("where it would not") {
                no_promise = true;
            }
            CHECK_THROWS_AS(coming->finish(), model::ModelError);
            CHECK(content(models.folder / "llama.gguf").size() == 4);
        }
        SUBCASE("what has come is removed") {
            begin();
            write(0);
            fs::remove(hidden());
            CHECK_THROWS_AS(write(kChunk), Removed);
        }
        SUBCASE("it is removed when all has come") {
            fill();
            fs::remove(hidden());
            CHECK_THROWS_AS(coming->finish(), Removed);
            CHECK(entries() == 0);
        }
    }

    TEST_CASE_FIXTURE(Fixture, "what another device says is not believed") {
        const auto refused = [&](KnownModel model, const FilePart& part) {
            coming.reset();
            try {
                coming = std::make_unique<ArrivingModel>(models.folder, std::move(model));
                coming->begin(part);
            } catch (const model::ModelError&) {
                return entries() == 0;
            }
            return false;
        };
        KnownModel named = model();
        for (const char* name : {"", "../up", "a/b", ".hidden", "new\nline"}) {
            named.name = name;
            CHECK(refused(named, {1, 1, named.file_bytes}));
        }
        named.name = std::string(300, 'a');
        CHECK(refused(named, {1, 1, named.file_bytes}));
        const std::uint64_t bytes = model().file_bytes;
        CHECK(refused(model(), {1, 1, bytes + 1}));
        CHECK(refused(model(), {1, 1, bytes - 1}));
        CHECK(refused(model(), {1, 1, 0}));
        CHECK(refused(model(), {2, 2, bytes}));
        CHECK(refused(model(), {1, 0, bytes}));
        CHECK(refused(model(), {1, 2, std::uint64_t{1} << 62}));
        CHECK(refused(model(), {1, 4'000'000'000U, bytes}));
        open();
        begin();
        CHECK_THROWS_AS(write(kChunk), model::ModelError);
        CHECK_THROWS_AS(coming->write(0, std::span(files[0]).first(5)), model::ModelError);
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a disk without room is left alone, and so is what another one writes") {
        KnownModel huge = model();
        SUBCASE("more than there is") {
            huge.file_bytes = std::uint64_t{1} << 50;
        }
        SUBCASE("more than should be taken") {
            huge.file_bytes = fs::space(models.folder).available - ArrivingModel::kRoomLeft / 2;
        }
        ArrivingModel large(models.folder, huge);
        CHECK_THROWS_AS(large.begin({1, 1, huge.file_bytes}), NotNow);
        CHECK(entries() == 0);
        open();
        begin();
        write(0);
        ArrivingModel another(models.folder, model());
        CHECK_THROWS_AS(another.begin({1, 1, files[0].size()}), NotNow);
        CHECK(entries() == 1);
        write(kChunk);
    }

    TEST_CASE_FIXTURE(Fixture, "what is here is read no further than it may be") {
        open();
        begin();
        write(0);
        write(kChunk);
        open();
        int asked = 0;
        CHECK_THROWS_AS(coming->begin({1, 1, files[0].size()}, [&] { return ++asked < 2; }),
                        NotNow);
        CHECK(asked == 2);
        open();
        CHECK(begin() == 2 * kChunk);
    }
}

}  // namespace arriving_model_test
