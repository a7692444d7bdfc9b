#include "daemon/engine/kv_files.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>

#include "daemon/engine/prefix_index.hpp"
#include "tests/daemon/support.hpp"

namespace kv_files_test {

using namespace shoal;
using namespace shoal::tests;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t kBlock = 1000, kFile = kBlock + 32;

KvFiles::Name name(std::uint8_t number) {
    return {number, 1};
}

// Blocks with a byte each, and how files take and give them.
struct Blocks {
    explicit Blocks(std::vector<std::uint8_t> values) {
        for (const std::uint8_t value : values) {
            names.push_back(name(value));
            bytes.emplace_back(kBlock, std::byte{value});
        }
        for (auto& block : bytes) views.emplace_back(block);
    }
    bool hold(std::size_t i, std::uint8_t value) const {
        return std::ranges::all_of(bytes[i], [&](std::byte b) { return b == std::byte{value}; });
    }
    std::uint32_t write_to(KvFiles& files, std::uint32_t first = 0) {
        return files.write(first, names, views);
    }
    std::uint32_t read_from(KvFiles& files) {
        for (auto& block : bytes) std::ranges::fill(block, std::byte{0xee});
        return files.read(0, names, views);
    }

    std::vector<KvFiles::Name> names;
    std::vector<std::vector<std::byte>> bytes;
    std::vector<std::span<std::byte>> views;
};

struct Fixture {
    TemporaryFolder root;
    const fs::path folder = root.folder / "kept" / "blocks";
    KvFiles::Options options{.folder = folder, .bytes = 100 * kFile, .spare = 0};
    std::unique_ptr<KvFiles> files;

    Fixture() { restart(); }
    void restart() {
        files.reset();
        files = std::make_unique<KvFiles>(options);
        REQUIRE(eventually([&] { return files->ready() || !files->usable(); }));
    }
    fs::path only_file() const {
        REQUIRE(std::distance(fs::directory_iterator(folder), {}) == 1);
        return fs::directory_iterator(folder)->path();
    }
    std::size_t count() const {
        return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), {}));
    }
};

}  // namespace

TEST_SUITE("KvFiles") {
    TEST_CASE_FIXTURE(Fixture, "blocks are there again after a restart, for nobody else to read") {
        Blocks blocks({1, 2, 3});
        CHECK(blocks.write_to(*files) == 3);
        CHECK(blocks.write_to(*files) == 3);
        restart();
        CHECK(files->holds(name(2)));
        CHECK_FALSE(files->holds(name(4)));
        CHECK(blocks.read_from(*files) == 3);
        for (std::uint8_t i = 0; i < 3; ++i) CHECK(blocks.hold(i, i + 1));
        CHECK(fs::status(folder).permissions() == fs::perms::owner_all);
        for (const auto& file : fs::directory_iterator(folder)) {
            CHECK(file.file_size() == kFile);
            CHECK(file.status().permissions() == (fs::perms::owner_read | fs::perms::owner_write));
        }
        // Those before the first that is not there.
        Blocks some({2, 9, 3});
        CHECK(some.read_from(*files) == 1);
        CHECK(some.hold(0, 2));
        CHECK(some.hold(1, 0xee));
        CHECK(some.hold(2, 0xee));
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a file that is not what it should be is removed and read by nobody") {
        Blocks block({1});
        const auto spoil = [&](const auto& how) {
            REQUIRE(block.write_to(*files) == 1);
            how(only_file());
            CHECK(block.read_from(*files) == 0);
            CHECK(block.hold(0, 0xee));
            CHECK_FALSE(files->holds(name(1)));
            CHECK(count() == 0);
            block = Blocks({1});
        };
        spoil([](const fs::path& path) { fs::resize_file(path, kFile - 1); });
        spoil([](const fs::path& path) { fs::resize_file(path, kFile + 1); });
        spoil([](const fs::path& path) { fs::resize_file(path, 0); });
        for (const std::size_t at : {std::size_t{0}, kBlock - 1, kBlock, kFile - 1}) {
            spoil([&](const fs::path& path) {
                std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
                file.seekp(static_cast<std::streamoff>(at));
                file.put('x');
            });
        }
        spoil([](const fs::path& path) { fs::remove(path); });
        // Another block's.
        spoil([&](const fs::path& path) {
            Blocks other({2});
            REQUIRE(other.write_to(*files) == 1);
            for (const auto& file : fs::directory_iterator(folder)) {
                if (file.path() != path) fs::rename(file.path(), path);
            }
            files->forget(name(2));
        });
    }

    TEST_CASE_FIXTURE(Fixture, "blocks of another size are not this one's") {
        Blocks block({1});
        REQUIRE(block.write_to(*files) == 1);
        block.bytes[0].resize(kBlock / 2);
        block.views[0] = block.bytes[0];
        CHECK(block.read_from(*files) == 0);
        CHECK(count() == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "the least recently used go first, of a text its end") {
        options.bytes = 4 * kFile;
        restart();
        Blocks text({1, 2, 3});
        CHECK(text.write_to(*files, 10) == 3);
        Blocks more({4, 5});
        CHECK(more.write_to(*files) == 2);
        CHECK(files->holds(name(1)));
        CHECK(files->holds(name(2)));
        CHECK_FALSE(files->holds(name(3)));
        CHECK(count() == 4);
        // It is remembered.
        Blocks first({1});
        CHECK(first.read_from(*files) == 1);
        restart();
        Blocks next({6, 7});
        CHECK(next.write_to(*files) == 2);
        CHECK(files->holds(name(1)));
        CHECK_FALSE(files->holds(name(2)));
        CHECK_FALSE(files->holds(name(5)));
        // Less is allowed now.
        options.bytes = kFile;
        restart();
        CHECK(files->holds(name(6)));
        CHECK(eventually([&] { return count() == 1; }));
        CHECK(next.write_to(*files) == 0);
        CHECK(files->holds(name(6)));
    }

    TEST_CASE_FIXTURE(Fixture, "a full disk keeps nothing more, and takes more when it has room") {
        Blocks block({1});
        REQUIRE(block.write_to(*files) == 1);
        options.spare = UINT64_MAX;
        restart();
        Blocks more({1, 2});
        CHECK(more.write_to(*files) == 1);
        CHECK(files->usable());
        CHECK(count() == 1);
        CHECK(more.read_from(*files) == 1);
        options.spare = 0;
        restart();
        CHECK(more.write_to(*files) == 2);
    }

    TEST_CASE_FIXTURE(Fixture,
                      "what others left in the folder stays, but for files without an end") {
        Blocks block({1});
        REQUIRE(block.write_to(*files) == 1);
        const fs::path kept = only_file();
        std::ofstream(kept.string() + ".123.tmp") << "half";
        std::ofstream(folder / "notes.kv") << "hers";
        fs::create_directory(folder / fs::path(std::string(64, 'a') + ".kv"));
        restart();
        CHECK(count() == 3);
        CHECK_FALSE(fs::exists(kept.string() + ".123.tmp"));
        CHECK(block.read_from(*files) == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "a disk that does not answer is given up") {
        Blocks block({1});
        options.patience = std::chrono::milliseconds(50);
        restart();
        REQUIRE(block.write_to(*files) == 1);
        const fs::path path = only_file();
        fs::remove(path);
        REQUIRE(mkfifo(path.c_str(), 0600) == 0);  // Who opens it waits for a writer.
        CHECK(block.read_from(*files) == 0);
        CHECK_FALSE(files->usable());
        CHECK_FALSE(files->holds(name(1)));
        CHECK(block.write_to(*files) == 0);
        int writer = -1;
        CHECK(eventually([&] {
            writer = ::open(path.c_str(), O_WRONLY | O_NONBLOCK);
            return writer >= 0;
        }));
        files.reset();
        ::close(writer);
    }

    TEST_CASE_FIXTURE(Fixture, "a folder that is none keeps nothing") {
        options.folder = root.folder / "file";
        std::ofstream(options.folder) << "x";
        restart();
        CHECK_FALSE(files->usable());
        Blocks block({1});
        CHECK(block.write_to(*files) == 0);
        CHECK(block.read_from(*files) == 0);
    }
}

TEST_SUITE("block names") {
    std::vector<std::int32_t> tokens(std::size_t count) {
        std::vector<std::int32_t> out(count);
        for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<std::int32_t>(7 * i % 300);
        return out;
    }

    TEST_CASE("a block's name says all tokens up to its end, and none behind") {
        const auto text = tokens(512);
        const auto names = block_names(text, 0, 4);
        REQUIRE(names.size() == 4);
        CHECK(block_names(std::span(text).first(256), 0, 2) ==
              std::vector<exec::BlockName>{names[0], names[1]});
        for (const std::size_t changed : {0U, 127U, 128U, 300U, 511U}) {
            auto other = text;
            other[changed] += 1;
            const auto others = block_names(other, 0, 4);
            for (std::size_t b = 0; b < 4; ++b)
                CHECK((others[b] == names[b]) == (b < changed / 128));
        }
    }

    TEST_CASE("rows of the two kinds have other names, as far as texts differ in them") {
        const auto text = tokens(512);
        const auto common = [&](std::uint32_t a, std::uint32_t b) {
            const auto one = block_names(text, a, 4), other = block_names(text, b, 4);
            return static_cast<std::uint32_t>(std::ranges::mismatch(one, other).in1 - one.begin());
        };
        for (const std::uint32_t a : {0U, 100U, 128U, 200U, 256U, 500U, 512U}) {
            for (const std::uint32_t b : {0U, 100U, 128U, 200U, 256U, 500U, 512U}) {
                CAPTURE(a);
                CAPTURE(b);
                CHECK(common(a, b) == common_rows(text, a, text, b) / 128);
            }
        }
    }

    TEST_CASE("a slice's name says what its numbers depend on") {
        PlanSpec spec = solo_spec(open_model(tiny_model()), plan_id(1), 1024);
        spec.slices.push_back(spec.slices[0]);
        std::vector<KvFiles::Name> names{slice_name(spec, "avx2", "1")};
        // These change nothing.
        PlanSpec same = spec;
        same.id = plan_id(2);
        same.options.kv_positions = 2048;
        same.options.max_rows = 7;
        same.options.sequence_rows = 100;
        CHECK(slice_name(same, "avx2", "1") == names[0]);
        same.options.scatter_rows = 5;
        const auto parts = slice_name(same, "avx2", "1");
        same.options.scatter_rows = 9;
        CHECK(slice_name(same, "avx2", "1") == parts);

        // Who computes which rows matters where kernels round differently.
        names.push_back(parts);
        names.push_back(slice_name(same, "ref", "1"));
        same.options.row_shares.shares = {1, 2};
        CHECK(slice_name(same, "avx2", "1") == parts);
        names.push_back(slice_name(same, "ref", "1"));
        names.push_back(slice_name(spec, "avx512", "1"));
        names.push_back(slice_name(spec, "avx2", "2"));
        const auto with = [&](const auto& change) {
            PlanSpec other = spec;
            change(other);
            names.push_back(slice_name(other, "avx2", "1"));
        };
        with([](PlanSpec& s) { s.rank = 1; });
        with([](PlanSpec& s) { s.slices.pop_back(); });
        with([](PlanSpec& s) { s.slices[1].ffn.begin += 32; });
        with([](PlanSpec& s) { s.slices[1].q_heads.begin += 1; });
        with([](PlanSpec& s) { s.slices[0].kv_heads.begin += 1; });
        with([](PlanSpec& s) { s.slices[0].vocab.begin += 1; });
        with([](PlanSpec& s) { s.options.kv_type = kernels::KvType::q8_0; });
        with([](PlanSpec& s) { s.options.collectives = exec::PayloadType::q16; });
        with([](PlanSpec& s) { s.model = open_model(other_model()); });
        std::ranges::sort(names);
        CHECK(std::ranges::adjacent_find(names) == names.end());
    }
}

}  // namespace kv_files_test
