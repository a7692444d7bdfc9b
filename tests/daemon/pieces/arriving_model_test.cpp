#include "daemon/pieces/arriving_model.hpp"

#include <doctest/doctest.h>
#include <sodium.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "daemon/model/split.hpp"
#include "daemon/pieces/whole_file_store.hpp"
#include "tests/daemon/support.hpp"

namespace arriving_model_test {

using namespace shoal;
using namespace shoal::tests;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kChunk = piece_file::kChunk;

std::vector<std::byte> noise(std::size_t bytes, unsigned seed) {
    std::vector<std::byte> out(bytes);
    std::uint32_t state = seed * 2654435761U + 1;
    for (std::byte& b : out) {
        state = state * 1664525U + 1013904223U;
        b = static_cast<std::byte>(state >> 24);
    }
    return out;
}

// A model of some files with any content, and a folder that it comes to.
struct Fixture {
    TemporaryFolder models;
    std::vector<std::vector<std::byte>> files{noise(2 * kChunk + 77, 1)};
    std::unique_ptr<ArrivingModel> coming;

    KnownModel model() const {
        KnownModel out;
        out.name = "llama";
        crypto_generichash_state state;
        crypto_generichash_init(&state, nullptr, 0, out.hash.bytes.size());
        for (const auto& file : files) {
            crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(file.data()),
                                      file.size());
            out.file_bytes += file.size();
        }
        crypto_generichash_final(&state, out.hash.bytes.data(), out.hash.bytes.size());
        return out;
    }
    void open() {
        coming.reset();
        coming = std::make_unique<ArrivingModel>(models.folder, model());
    }
    std::uint64_t begin(std::uint32_t number = 1) {
        return coming->begin(
            {number, static_cast<std::uint32_t>(files.size()), files.at(number - 1).size()}, {});
    }
    std::uint64_t write(std::uint64_t at, std::uint32_t number = 1) {
        const auto& file = files.at(number - 1);
        return coming->write(at,
                             std::span(file).subspan(at, piece_file::chunk_bytes(file.size(), at)));
    }
    // All of it.
    void fill(std::uint32_t number = 1) {
        for (std::uint64_t at = begin(number); at != files.at(number - 1).size();) {
            at = write(at, number);
        }
    }
    fs::path hidden(std::uint32_t number = 1) const {
        return models.folder / model::arriving_name(model().hash.hex(), number);
    }
    static std::vector<std::byte> content(const fs::path& path) {
        std::ifstream in(path, std::ios::binary);
        const std::string text{std::istreambuf_iterator<char>(in), {}};
        const auto bytes = std::as_bytes(std::span(text));
        return {bytes.begin(), bytes.end()};
    }
    std::size_t entries() const {
        return static_cast<std::size_t>(
            std::distance(fs::directory_iterator(models.folder), fs::directory_iterator()));
    }
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
        const fs::path path = coming->finish();
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
            CHECK_THROWS_AS(coming->finish(), model::ModelError);
            CHECK(content(models.folder / "llama.gguf").size() == 4);
        }
        SUBCASE("what has come is removed") {
            begin();
            write(0);
            fs::remove(hidden());
            CHECK_THROWS_AS(write(kChunk), model::ModelError);
        }
    }

    TEST_CASE_FIXTURE(Fixture, "what another device says is not believed") {
        const auto refused = [&](KnownModel model, const FilePart& part) {
            coming.reset();
            try {
                coming = std::make_unique<ArrivingModel>(models.folder, std::move(model));
                coming->begin(part, {});
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
        CHECK_THROWS_AS(large.begin({1, 1, huge.file_bytes}, {}), NotNow);
        CHECK(fs::file_size(hidden()) == 0);
        open();
        CHECK_THROWS_AS(begin(), NotNow);  // the other one has its lock
    }

    TEST_CASE_FIXTURE(Fixture, "a store gives what it has and takes what it lacks") {
        TemporaryFolder state, theirs;
        fs::copy_file(tiny_model(), theirs.folder / "tiny.gguf");
        Catalogue has(state.folder), lacks(models.folder / "state");
        const CatalogueEntry entry = has.add(theirs.folder / "tiny.gguf");
        ControlThread control;
        WholeFileStore giver(control.loop, has, [&] { return theirs.folder.string(); });
        WholeFileStore taker(control.loop, lacks, [&] { return models.folder.string(); });
        const auto give = [&](const mesh::messages::FileRequest& request) {
            mesh::messages::FileReply out;
            bool came = false;
            control.call([&] {
                giver.read(request, [&](mesh::messages::FileReply reply) {
                    out = std::move(reply);
                    came = true;
                });
            });
            REQUIRE(control.eventually([&] { return came; }));
            return out;
        };
        const auto length = give({entry.hash.bytes, 1, 0, 0});
        CHECK(length.error == "");
        CHECK(length.total == entry.file_bytes);
        CHECK(length.parts == 1);
        const mesh::ModelHash unknown{};
        CHECK(give({unknown.bytes, 1, 0, 1}).error != "");
        CHECK(give({entry.hash.bytes, 0, 0, 1}).error != "");
        CHECK(give({entry.hash.bytes, 2, 0, 1}).error != "");
        CHECK(give({entry.hash.bytes, 1, entry.file_bytes, 1}).error != "");
        CHECK(give({entry.hash.bytes, 1, UINT64_MAX, 1}).error != "");
        CHECK(give({entry.hash.bytes, 1, 0, kChunk + 1}).error != "");

        std::uint64_t here = 0;
        FileTrouble trouble;
        const auto wait = [&](const std::function<void(WholeFiles::Done)>& what) {
            bool came = false;
            control.call([&] {
                what([&](std::uint64_t bytes, const FileTrouble& why) {
                    here = bytes;
                    trouble = why;
                    came = true;
                });
            });
            REQUIRE(control.eventually([&] { return came; }));
            REQUIRE(trouble.text == "");
        };
        wait([&](auto done) {
            taker.begin({entry.hash, "tiny", entry.file_bytes}, {1, 1, length.total}, done);
        });
        CHECK(control.call([&] { return taker.begun(); }) == std::vector{entry.hash});
        while (here != length.total) {
            const auto bytes =
                static_cast<std::uint32_t>(piece_file::chunk_bytes(length.total, here));
            auto data = give({entry.hash.bytes, 1, here, bytes}).data;
            wait([&](auto done) { taker.write(here, std::move(data), done); });
        }
        wait([&](auto done) { taker.finish(done); });
        CHECK(control.eventually([&] { return taker.begun().empty(); }));
        lacks.scan({models.folder.string()});
        REQUIRE(lacks.find(entry.hash).has_value());
        CHECK(lacks.find(entry.hash)->name == "tiny");
        CHECK(content(models.folder / "tiny.gguf") == content(tiny_model()));
        // A file that changes is not given on.
        std::ofstream(theirs.folder / "tiny.gguf", std::ios::app) << "x";
        CHECK(give({entry.hash.bytes, 1, 0, 100}).error != "");
    }
}

}  // namespace arriving_model_test
