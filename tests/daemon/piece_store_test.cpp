#include "daemon/piece_store.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>

#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "daemon/exec/weights.hpp"
#include "daemon/shard/head_cut.hpp"
#include "tests/daemon/scripted_holders.hpp"
#include "tests/daemon/support.hpp"

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
    PieceStore store{temporary.folder, hash};
    const model::TensorInfo info{"t.weight", kernels::DType::f32, 8, 4, 0, 128};
    const Piece whole = model::whole(info);
    std::filesystem::path folder = temporary.folder / hash.hex();

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

bool equal(const exec::Matrix& a, const exec::Matrix& b) {
    return a.type == b.type && a.rows == b.rows && a.cols == b.cols && a.skip == b.skip &&
           a.own_cols == b.own_cols && a.stride == b.stride &&
           (a.rows == 0 || std::equal(a.data, a.data + a.rows * a.stride, b.data));
}

bool equal(const float* a, const float* b, std::size_t count) {
    if ((a == nullptr) != (b == nullptr)) return false;
    return a == nullptr || std::equal(a, a + count, b);
}

bool equal(const exec::SliceWeights& a, const exec::SliceWeights& b, const model::Hparams& hp,
           const shard::Slice& s) {
    bool same = equal(a.output_norm(), b.output_norm(), hp.dim) && equal(a.output(), b.output());
    for (std::uint32_t l = 0; l < hp.n_layers; ++l) {
        const exec::LayerWeights& x = a.layers()[l];
        const exec::LayerWeights& y = b.layers()[l];
        const std::size_t q = s.q_heads.size() * hp.head_dim;
        const std::size_t kv = s.kv_heads.size() * hp.head_dim;
        same = same && equal(x.attn_norm, y.attn_norm, hp.dim) &&
               equal(x.ffn_norm, y.ffn_norm, hp.dim) && equal(x.q_bias, y.q_bias, q) &&
               equal(x.k_bias, y.k_bias, kv) && equal(x.v_bias, y.v_bias, kv) &&
               equal(x.wq, y.wq) && equal(x.wk, y.wk) && equal(x.wv, y.wv) && equal(x.wo, y.wo) &&
               equal(x.gate, y.gate) && equal(x.up, y.up) && equal(x.down, y.down);
    }
    return same;
}

}  // namespace

TEST_SUITE("PieceStore") {
    TEST_CASE_FIXTURE(Fixture, "a piece that comes in parts is complete with its last byte") {
        CHECK(store.have(info, whole).bytes == 0);
        store.append(whole, some_bytes(100), 128);
        CHECK(store.have(info, whole).bytes == 100);
        CHECK_FALSE(store.have(info, whole).complete);
        store.append(whole, some_bytes(28), 128);
        CHECK(store.have(info, whole).complete);
    }

    TEST_CASE_FIXTURE(Fixture, "a larger piece that is here counts as a smaller one") {
        store.append(whole, some_bytes(128), 128);
        CHECK(store.have(info, {"t.weight", 1, 3, 2, 8}).complete);
        CHECK_FALSE(store.have(info, {"u.weight", 1, 3, 2, 8}).complete);
        PieceStore narrow(temporary.folder / "narrow", hash);
        narrow.append({"t.weight", 1, 3, 0, 8}, some_bytes(64), 64);
        CHECK(narrow.have(info, {"t.weight", 2, 3, 4, 8}).complete);
        CHECK_FALSE(narrow.have(info, whole).complete);
        CHECK_FALSE(narrow.have(info, {"t.weight", 2, 4, 4, 8}).complete);
    }

    TEST_CASE_FIXTURE(Fixture, "a file of the wrong length is no piece") {
        // A power cut after the renaming leaves a short file.
        store.append(whole, some_bytes(100), 100);
        CHECK_FALSE(store.have(info, whole).complete);
        store.append(whole, some_bytes(128), 128);
        CHECK(store.have(info, whole).complete);
        CHECK(written(folder / "t.weight@0-4@0-8").size() == 128);
    }

    TEST_CASE_FIXTURE(Fixture, "a whole piece that was not named in time is taken as it is") {
        store.append(whole, some_bytes(128), 999);
        CHECK(store.have(info, whole).complete);
    }

    TEST_CASE_FIXTURE(Fixture, "more bytes than the piece has are thrown away") {
        store.append(whole, some_bytes(200), 999);
        CHECK(store.have(info, whole).bytes == 0);
        store.append(whole, some_bytes(128), 128);
        CHECK(store.have(info, whole).complete);
    }

    TEST_CASE_FIXTURE(Fixture, "tensor names cannot lead out of the folder") {
        for (const std::string name :
             {"../evil", "/etc/evil", "..", ".", ".hidden", "a/b", "", "a\nb", "a@0-1@0-1", "a b",
              "\xC3\xA9", "../../../../tmp/evil"}) {
            CAPTURE(name);
            const Piece piece{name, 0, 4, 0, 8};
            CHECK_THROWS_AS(store.append(piece, some_bytes(128), 128), ModelError);
            model::TensorInfo named = info;
            named.name = name;
            CHECK_FALSE(store.have(named, piece).complete);
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
              "t.weight@0-99999999999999999999999@0-8", "t.weight@4-0@8-0", "notes.txt"}) {
            std::ofstream(folder / name) << "something";
        }
        std::filesystem::create_directory(folder / "t.weight@0-4@0-8");
        CHECK_FALSE(store.have(info, whole).complete);
        CHECK_THROWS_AS(store.append(whole, some_bytes(128), 128), ModelError);
    }

    TEST_CASE_FIXTURE(Fixture, "a full disk is an error, and later it goes on where it ended") {
        {
            const FullDisk full(50);
            std::string what;
            try {
                store.append(whole, some_bytes(100), 128);
            } catch (const ModelError& e) {
                what = e.what();
            }
            CHECK(what.find("t.weight@0-4@0-8") != std::string::npos);
            CHECK(what.find("room") != std::string::npos);
        }
        const auto here = store.have(info, whole);
        CHECK_FALSE(here.complete);
        CHECK(here.bytes == 50);
        auto all = some_bytes(128);
        store.append(whole, std::span(all).subspan(here.bytes), 128);
        CHECK(store.have(info, whole).complete);
        const std::string file = written(folder / "t.weight@0-4@0-8");
        CHECK(std::equal(file.begin(), file.end(), all.begin(), all.end(),
                         [](char a, std::byte b) { return static_cast<std::byte>(a) == b; }));
    }

    TEST_CASE_FIXTURE(Fixture, "without a header, or with a damaged one, there is no model") {
        CHECK_THROWS_AS(store.open("m", 1000, false), ModelError);
        store.append_header({}, 0);
        CHECK_THROWS_AS(store.open("m", 1000, false), ModelError);
        store.discard_header();
        store.append_header(some_bytes(64), 64);
        CHECK(store.have_header().complete);
        CHECK_THROWS_AS(store.open("m", 1000, false), ModelError);
        store.discard_header();
        CHECK_FALSE(store.have_header().complete);
        CHECK(store.have_header().bytes == 0);
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
                CHECK(equal(a, b, hp, slice));
                CHECK(stored->hparams.rope_freqs == hp.rope_freqs);
            }
        }
    }
}
