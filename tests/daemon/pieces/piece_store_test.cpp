#include "daemon/pieces/piece_store.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/exec/weights.hpp"
#include "daemon/shard/cut.hpp"
#include "tests/daemon/scripted_holders.hpp"
#include "tests/daemon/support.hpp"

namespace piece_store_test {

using namespace shoal;
using namespace shoal::tests;
using model::ModelError;
using model::Piece;

namespace {

std::vector<std::byte> some_bytes(std::size_t count, std::uint8_t first = 1) {
    std::vector<std::byte> out;
    for (std::size_t i = 0; i < count; ++i) out.push_back(static_cast<std::byte>(first + i));
    return out;
}

struct Fixture {
    TemporaryFolder temporary;
    mesh::ModelHash hash;
    PieceStore store{temporary.folder, hash, 0};
    const model::TensorInfo info{"t.weight", kernels::DType::f32, 8, 4, 0, 128};
    const Piece whole = model::whole(info);
    std::filesystem::path folder = temporary.folder / hash.hex();
    // Three chunks, the last one short.
    static constexpr std::uint64_t kChunk = PieceStore::kChunk;
    const model::TensorInfo large{"large.weight", kernels::DType::f32, 131'072, 5, 0,
                                  5 * kChunk / 2};
    const Piece all = model::whole(large);

    void put(std::uint64_t offset) { put(offset, store); }
    void put(std::uint64_t offset, PieceStore& into) const {
        into.write(all, offset, some_bytes(std::min(kChunk, large.bytes - offset)), large.bytes);
    }
    PieceStore reopened() const { return PieceStore(temporary.folder, hash, 0); }
    static std::string written(const std::filesystem::path& path) {
        std::ifstream file(path, std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }
};

// Writing beyond this many bytes of a file fails, as on a full disk.
struct FullDisk {
    rlimit before{};
    explicit FullDisk(rlim_t bytes) {
        signal(SIGXFSZ, SIG_IGN);
        getrlimit(RLIMIT_FSIZE, &before);
        const rlimit limit{bytes, before.rlim_max};
        REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    }
    ~FullDisk() { setrlimit(RLIMIT_FSIZE, &before); }
};

// In the file's layout.
bool equal(const exec::Matrix& a, const exec::Matrix& b) {
    return a.type == b.type && a.rows == b.rows && a.cols == b.cols && a.skip == b.skip &&
           a.own_cols == b.own_cols && a.stride == b.stride &&
           std::equal(a.data, a.data + a.rows * a.stride, b.data);
}

bool equal(const exec::WeightsView& a, const exec::WeightsView& b) {
    return std::all_of(
        std::begin(model::kTensors), std::end(model::kTensors),
        [&](const model::TensorSpec& spec) { return equal(a[spec.tensor], b[spec.tensor]); });
}

bool equal(const exec::SliceWeights& a, const exec::SliceWeights& b, const model::Hparams& hp) {
    bool same = equal(a.model(), b.model());
    for (std::uint32_t l = 0; l < hp.n_layers; ++l) same = same && equal(a.layer(l), b.layer(l));
    return same;
}

}  // namespace

TEST_SUITE("PieceStore") {
    TEST_CASE_FIXTURE(Fixture,
                      "a piece that comes in chunks, in any order, is complete with the last") {
        CHECK(store.missing(large, all) == std::vector<std::uint64_t>{0, kChunk, 2 * kChunk});
        put(2 * kChunk);
        CHECK(store.missing(large, all) == std::vector<std::uint64_t>{0, kChunk});
        put(0);
        put(0);
        put(kChunk);
        CHECK(store.missing(large, all).empty());
        CHECK(std::filesystem::exists(folder / "large.weight@0-5@0-131072"));
        CHECK_FALSE(store.trouble());
    }

    TEST_CASE_FIXTURE(Fixture, "a restart finds what was written, and lacks the rest") {
        put(kChunk);
        CHECK(reopened().missing(large, all) == std::vector<std::uint64_t>{0, 2 * kChunk});
        put(0);
        put(2 * kChunk);
        CHECK(reopened().missing(large, all).empty());
    }

    TEST_CASE_FIXTURE(Fixture, "a larger piece that is here counts as a smaller one") {
        store.write(whole, 0, some_bytes(128), 128);
        CHECK(store.missing(info, {"t.weight", 1, 3, 2, 8}).empty());
        model::TensorInfo other = info;
        other.name = "u.weight";
        CHECK_FALSE(store.missing(other, {"u.weight", 1, 3, 2, 8}).empty());
        PieceStore narrow(temporary.folder / "narrow", hash, 0);
        narrow.write(Piece{"t.weight", 1, 3, 0, 8}, 0, some_bytes(64), 64);
        CHECK(narrow.missing(info, {"t.weight", 2, 3, 4, 8}).empty());
        CHECK_FALSE(narrow.missing(info, whole).empty());
        CHECK_FALSE(narrow.missing(info, {"t.weight", 2, 4, 4, 8}).empty());
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a stored piece with a changed byte, anywhere, is none and is deleted") {
        const auto path = folder / "t.weight@0-4@0-8";
        for (const std::size_t at : {0, 64, 127, 128, 159}) {
            CAPTURE(at);
            reopened().write(whole, 0, some_bytes(128), 128);
            std::string bytes = written(path);
            REQUIRE(bytes.size() == 128 + 32);
            bytes[at] = static_cast<char>(bytes[at] ^ 1);
            std::ofstream(path, std::ios::binary) << bytes;
            PieceStore next = reopened();
            CHECK_FALSE(next.missing(info, whole).empty());
            CHECK_FALSE(std::filesystem::exists(path));
            next.write(whole, 0, some_bytes(128), 128);
            CHECK(reopened().missing(info, whole).empty());
            std::filesystem::remove(path);
        }
    }

    TEST_CASE_FIXTURE(Fixture,
                      "another piece's bytes under its name are none, nor another model's") {
        store.write(whole, 0, some_bytes(128), 128);
        const Piece other{"u.weight", 0, 4, 0, 8};
        model::TensorInfo named = info;
        named.name = "u.weight";
        std::filesystem::copy_file(folder / "t.weight@0-4@0-8", folder / "u.weight@0-4@0-8");
        CHECK_FALSE(reopened().missing(named, other).empty());
        mesh::ModelHash next = hash;
        next.bytes[0] ^= 1;
        std::filesystem::rename(folder, temporary.folder / next.hex());
        PieceStore elsewhere(temporary.folder, next, 0);
        CHECK_FALSE(elsewhere.missing(info, whole).empty());
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a file of another length is no piece, nor one of an earlier version") {
        for (const std::size_t bytes : {0, 1, 100, 128, 159, 161, 5000}) {
            CAPTURE(bytes);
            std::ofstream(folder / "t.weight@0-4@0-8") << std::string(bytes, 'x');
            std::ofstream(folder / "t.weight@0-4@0-8.part") << std::string(bytes, 'x');
            CHECK_FALSE(reopened().missing(info, whole).empty());
        }
        store.write(whole, 0, some_bytes(128), 128);
        CHECK(reopened().missing(info, whole).empty());
    }

    TEST_CASE_FIXTURE(Fixture, "a whole piece that was not named in time is taken as it is") {
        store.write(whole, 0, some_bytes(128), 128);
        std::filesystem::rename(folder / "t.weight@0-4@0-8", folder / "t.weight@0-4@0-8.part");
        CHECK(reopened().missing(info, whole).empty());
        CHECK(std::filesystem::exists(folder / "t.weight@0-4@0-8"));
    }

    TEST_CASE("a chunk's hash is of its model, its content, its place and its bytes") {
        const auto hash = [](std::uint8_t model, std::string_view name, std::uint64_t offset,
                             std::byte byte) {
            mesh::ModelHash of;
            of.bytes.fill(model);
            return piece_file::chunk_hash(of, name, offset, std::array{byte});
        };
        const auto one = hash(1, "a", 0, std::byte{1});
        CHECK(hash(1, "a", 0, std::byte{1}) == one);
        CHECK(hash(2, "a", 0, std::byte{1}) != one);
        CHECK(hash(1, "b", 0, std::byte{1}) != one);
        CHECK(hash(1, "a", piece_file::kChunk, std::byte{1}) != one);
        CHECK(hash(1, "a", 0, std::byte{2}) != one);
    }

    TEST_CASE_FIXTURE(Fixture, "chunks that are none of the piece are refused") {
        CHECK_THROWS_AS(store.write(whole, 0, some_bytes(127), 128), ModelError);
        CHECK_THROWS_AS(store.write(whole, 0, some_bytes(129), 128), ModelError);
        CHECK_THROWS_AS(store.write(whole, 1, some_bytes(127), 128), ModelError);
        CHECK_THROWS_AS(store.write(whole, 128, some_bytes(0), 128), ModelError);
        CHECK_THROWS_AS(store.write(whole, kChunk, some_bytes(8), 128), ModelError);
    }

    TEST_CASE_FIXTURE(Fixture, "tensor names cannot lead out of the folder") {
        for (const std::string name :
             {"../evil", "/etc/evil", "..", ".", ".hidden", "a/b", "", "a\nb", "a@0-1@0-1", "a b",
              "\xC3\xA9", "../../../../tmp/evil"}) {
            CAPTURE(name);
            const Piece piece{name, 0, 4, 0, 8};
            CHECK_THROWS_AS(store.write(piece, 0, some_bytes(128), 128), ModelError);
            model::TensorInfo named = info;
            named.name = name;
            CHECK_THROWS_AS(store.missing(named, piece), ModelError);
        }
        std::size_t files = 0;
        for ([[maybe_unused]] const auto& entry :
             std::filesystem::recursive_directory_iterator(temporary.folder)) {
            ++files;
        }
        CHECK(files == 1);  // the model's folder
    }

    TEST_CASE_FIXTURE(Fixture, "what lies around in the folder does no harm") {
        for (const std::string name :
             {"t.weight@0-4@0-8x", "t.weight@-1-4@0-8", "t.weight@0-4", "@", "t.weight@0-4@0-",
              "t.weight@0-99999999999999999999999@0-8", "t.weight@4-0@8-0", "notes.txt",
              "t.weight@00-4@0-8"}) {
            std::ofstream(folder / name) << "something";
        }
        std::filesystem::create_directories(folder / "t.weight@0-4@0-8" / "full");
        PieceStore next = reopened();
        CHECK_FALSE(next.missing(info, whole).empty());
        CHECK_THROWS_AS(next.write(whole, 0, some_bytes(128), 128), ModelError);
        CHECK(next.trouble()->name == "state-folder");
    }

    TEST_CASE_FIXTURE(Fixture, "what a full disk does not take is an error, or kept in memory") {
        const FullDisk full(kChunk);
        CHECK_THROWS_WITH_AS(put(0), doctest::Contains("no room in"), ModelError);
        REQUIRE(store.trouble());
        CHECK(store.trouble()->name == "disk-full");
        CHECK(store.trouble()->remedy.find("device.state_dir") != std::string::npos);
        PieceStore rich(temporary.folder, hash, 3 * kChunk);
        for (const std::uint64_t at : {0, 1, 2}) put(at * kChunk, rich);
        CHECK(rich.missing(large, all).empty());
        // Two of them do not fit.
        model::TensorInfo more = large;
        more.name = "more.weight";
        CHECK_THROWS_AS(rich.write(model::whole(more), 0, some_bytes(kChunk), large.bytes),
                        ModelError);
        // Small ones still go to the disk.
        rich.write(whole, 0, some_bytes(128), 128);
        CHECK(std::filesystem::exists(folder / "t.weight@0-4@0-8"));
    }

    TEST_CASE("a store folder that cannot be made costs storing only") {
        TemporaryFolder temporary;
        std::ofstream(temporary.folder / "pieces") << "a file";
        const mesh::ModelHash hash;
        PieceStore store(temporary.folder / "pieces", hash, 1000);
        REQUIRE(store.trouble());
        CHECK(store.trouble()->name == "state-folder");
        CHECK(store.trouble()->text.find("pieces") != std::string::npos);
        store.write(std::nullopt, 0, some_bytes(64), 64);
        CHECK(store.has_header());
    }

    TEST_CASE_FIXTURE(Fixture, "without a header, or with a damaged one, there is no model") {
        CHECK_THROWS_AS(store.open("m", 1000, false), ModelError);
        store.write(std::nullopt, 0, some_bytes(64), 64);
        CHECK(store.has_header());
        CHECK_THROWS_AS(store.open("m", 1000, false), ModelError);
        CHECK(reopened().has_header());
        std::string bytes = written(folder / "header");
        ++bytes[5];
        std::ofstream(folder / "header", std::ios::binary) << bytes;
        CHECK_FALSE(reopened().has_header());
        store.discard_header();
        CHECK_FALSE(store.has_header());
        CHECK_FALSE(reopened().has_header());
    }

    TEST_CASE("a piece that is not here is an error that names it") {
        TemporaryFolder temporary;
        ScriptedHolders holders(tiny_model(), temporary.folder);
        shard::Slice first = holders.whole_slice();
        first.vocab.end = 10;
        holders.start(first);
        holders.serve();
        REQUIRE(holders.done == "");
        const auto model = holders.store().open("m", holders.file_bytes(), true);
        CHECK(model->tokenizer->size() == holders.hparams().n_vocab);
        std::vector<std::byte> out(16);
        const auto& info = model->source->header().tensor("output.weight");
        CHECK_NOTHROW(model->source->read({info.name, 9, 10, 0, info.cols}, 0, out));
        CHECK_THROWS_WITH_AS(model->source->read({info.name, 9, 11, 0, info.cols}, 0, out),
                             doctest::Contains("output.weight"), ModelError);
        CHECK_THROWS_AS(model->source->read({info.name, 0, 1, 0, info.cols}, 250, out), ModelError);
        CHECK_THROWS_AS(model->source->read({info.name, 0, 1, 0, info.cols}, ~0ULL, out),
                        ModelError);
        CHECK_THROWS_AS(model->source->read({"no.such", 0, 1, 0, 1}, 0, out), ModelError);
    }

    TEST_CASE("slices of fetched pieces and of the file are equal, byte for byte") {
        std::mt19937 random(7);
        const auto cut = [&](std::uint32_t end) {
            std::uniform_int_distribution<std::uint32_t> any(0, end);
            std::uint32_t a = any(random);
            std::uint32_t b = any(random);
            if (a > b) std::swap(a, b);
            return shard::Range{a, b};
        };
        for (const std::string type :
             {"f32", "f16", "q8_0", "q4_0", "q3_k_m", "iq4_xs", "q4_k_m", "q5_k_m"}) {
            CAPTURE(type);
            TemporaryFolder temporary;
            ScriptedHolders holders(typed_model(type), temporary.folder);
            const model::Hparams& hp = holders.hparams();
            for (int round = 0; round < 5; ++round) {
                CAPTURE(round);
                shard::Slice slice;
                slice.q_heads = cut(hp.n_heads);
                slice.kv_heads = shard::kv_heads_of(slice.q_heads, hp.group());
                slice.ffn = cut(hp.n_ff / 32);
                slice.ffn = {slice.ffn.begin * 32, slice.ffn.end * 32};
                slice.vocab = cut(hp.n_vocab);
                holders.start(slice);
                holders.serve();
                REQUIRE(holders.done == "");
                const auto stored = holders.store().open("m", holders.file_bytes(), false);
                const auto nothing = [](std::uint64_t, std::uint64_t) {};
                // The reference keeps the file's layout, which can be compared byte by byte.
                const kernels::Table& ref = kernels::reference();
                exec::ThreadPool pool(1);
                const auto a =
                    exec::SliceWeights::load(*stored->source, hp, slice, ref, pool, nothing);
                const auto b =
                    exec::SliceWeights::load(holders.source(), hp, slice, ref, pool, nothing);
                CHECK(equal(a, b, hp));
                CHECK(stored->hparams.rope_freqs == hp.rope_freqs);
            }
        }
    }
}

}  // namespace piece_store_test
