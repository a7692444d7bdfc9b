// The slice plan's invariants on every (model, devices) pair, and who gets how much.
#include "daemon/shard/cutter.hpp"

#include <doctest/doctest.h>

#include <map>
#include <numeric>

#include "daemon/shard/cut.hpp"
#include "tests/model/model_maker.hpp"
#include "tests/model/temporary_folder.hpp"

namespace shoal::tests {
namespace {

using shard::Device;
using shard::Range;
using shard::Slice;

struct TestModel {
    TemporaryFolder folder;
    std::unique_ptr<model::GgufFile> file;
    model::Hparams hparams;

    explicit TestModel(const ModelShape& shape) {
        make_model(shape, folder.folder / "model.gguf");
        file = std::make_unique<model::GgufFile>(folder.folder / "model.gguf");
        hparams = model::read_hparams(*file);
    }
    /// Devices of these speeds, or so many that are alike.
    std::vector<Device> devices(std::initializer_list<double> speeds) {
        std::vector<Device> out;
        const shard::Cutter cutter(file->header(), hparams);
        for (const double speed : speeds) out.push_back({"", cutter.pace(speed)});
        return out;
    }
    std::vector<Device> devices(std::size_t count) {
        return shard::Cutter(file->header(), hparams).equal_devices(count);
    }
    std::vector<Slice> plan(std::span<const Device> devices, const shard::Demand& demand = {}) {
        return shard::Cutter(file->header(), hparams).cut(devices, demand);
    }
};

ModelShape shape(const char* type, std::uint32_t heads, std::uint32_t kv, std::uint32_t head_dim,
                 std::uint32_t ff) {
    ModelShape s;
    s.type = type;
    s.n_heads = heads;
    s.n_kv_heads = kv;
    s.head_dim = head_dim;
    s.dim = heads * head_dim;
    s.n_ff = ff;
    return s;
}

void check_covers(const std::vector<Slice>& plan, std::uint32_t end, Range Slice::*part) {
    std::uint32_t at = 0;
    for (const Slice& slice : plan) {
        CHECK((slice.*part).begin <= (slice.*part).end);
        if ((slice.*part).empty()) continue;
        CHECK((slice.*part).begin == at);
        at = (slice.*part).end;
    }
    CHECK(at == end);
}

void check_invariants(TestModel& model, const std::vector<Slice>& plan, bool quantised) {
    const model::Hparams& hp = model.hparams;
    check_covers(plan, hp.n_heads, &Slice::q_heads);
    check_covers(plan, hp.n_ff, &Slice::ffn);
    check_covers(plan, hp.n_vocab, &Slice::vocab);
    for (std::uint32_t l = 0; l < hp.n_layers; ++l) {
        std::vector<Slice> narrow = plan;
        for (Slice& slice : narrow) slice.ffn = shard::ffn_columns(hp, slice.ffn, l);
        check_covers(narrow, hp.layer_ff[l], &Slice::ffn);
    }
    for (const Slice& slice : plan) {
        // Exactly the KV heads that its query heads read.
        std::vector<bool> read(hp.n_kv_heads);
        for (std::uint32_t q = slice.q_heads.begin; q < slice.q_heads.end; ++q) {
            read[q / hp.group()] = true;
        }
        for (std::uint32_t kv = 0; kv < hp.n_kv_heads; ++kv) {
            CHECK(read[kv] == (kv >= slice.kv_heads.begin && kv < slice.kv_heads.end));
        }
        for (std::uint32_t l = 0; quantised && l < hp.n_layers; ++l) {
            const Range ffn = shard::ffn_columns(hp, slice.ffn, l);
            CHECK((ffn.empty() || ffn.begin % 32 == 0));
            CHECK((ffn.end % 32 == 0 || ffn.end == hp.layer_ff[l]));
        }
        for (const model::Piece& piece : shard::slice_pieces(model.file->header(), hp, slice)) {
            CHECK(model::fits(model.file->header().tensor(piece.tensor), piece));
        }
    }
}

}  // namespace

TEST_CASE("every head, column and row belongs to one device, for every number of devices") {
    for (const ModelShape& s :
         {shape("f32", 8, 4, 8, 172), shape("q8_0", 8, 8, 32, 256), shape("q4_k", 8, 2, 32, 768),
          shape("q4_0", 12, 4, 32, 384), shape("f16", 6, 1, 16, 100)}) {
        TestModel model(s);
        for (std::uint32_t n = 1; n <= s.n_heads + 3; ++n) {
            CAPTURE(s.type);
            CAPTURE(n);
            const auto plan = model.plan(model.devices(n));
            REQUIRE(plan.size() == n);
            check_invariants(model, plan, s.type[0] == 'q');
            // Equal devices up to the KV heads all get heads; those beyond n_heads are spare.
            // Between the two a device may idle where straddling a KV head gains nothing.
            for (std::uint32_t r = 0; r < n; ++r) {
                if (n <= s.n_kv_heads) CHECK(!plan[r].q_heads.empty());
                if (r >= s.n_heads) CHECK(plan[r].q_heads.empty());
            }
        }
    }
}

TEST_CASE("every column of experts belongs to one device") {
    ModelShape s = shape("q8_0", 4, 2, 32, 96);
    s.architecture = "qwen3moe";
    s.n_experts = 5;
    TestModel model(s);
    for (std::uint32_t n = 1; n <= 5; ++n) {
        CAPTURE(n);
        const auto plan = model.plan(model.devices(n));
        check_invariants(model, plan, true);
        // Of each expert one device has a row, and so a piece.
        std::map<std::string, std::uint64_t> rows;
        for (const Slice& slice : plan) {
            for (const auto& piece :
                 shard::slice_pieces(model.file->header(), model.hparams, slice)) {
                rows[piece.tensor] += piece.row_end - piece.row_begin;
            }
        }
        CHECK(rows["blk.0.ffn_gate_exps.weight"] == 5 * 96);
        CHECK(rows["blk.0.ffn_gate_inp.weight"] == n * 5);
    }
}

TEST_CASE("every column of layers of unlike width belongs to one device") {
    for (const char* type : {"f32", "q8_0"}) {
        ModelShape s = shape(type, 4, 2, 32, 768);
        s.n_layers = 4;
        s.layer_ff = {768, 96, 2048, 1056};
        TestModel model(s);
        CHECK(model.hparams.n_ff == 2048);
        for (std::uint32_t n = 1; n <= 9; ++n) {
            CAPTURE(type);
            CAPTURE(n);
            std::vector<Device> devices = model.devices(n);
            devices[0].pace = model.devices({3})[0].pace;
            check_invariants(model, model.plan(devices), s.type[0] == 'q');
        }
    }
}

TEST_CASE("uneven devices get uneven shares") {
    TestModel model(shape("q8_0", 16, 4, 32, 1024));
    const auto plan = model.plan(model.devices({4, 1, 3}));
    check_invariants(model, plan, true);
    CHECK(plan[0].ffn.size() == 512);
    CHECK(plan[1].ffn.size() == 128);
    CHECK(plan[2].ffn.size() == 384);
    CHECK(plan[0].q_heads.size() > plan[2].q_heads.size());
    CHECK(plan[2].q_heads.size() > plan[1].q_heads.size());
}

TEST_CASE("cuts fall on KV heads when that costs nothing, and straddle them when it helps") {
    const std::vector<shard::HeadShare> two(2, {2, 1});
    // Two KV heads of four query heads: the aligned cut is even.
    CHECK(*shard::cut_heads(8, 4, {}, two) == std::vector<Range>{{0, 4}, {4, 8}});
    // Three devices, two KV heads: one device would do nothing if cuts had to be aligned.
    const std::vector<shard::HeadShare> three(3, {2, 1});
    const auto cut = shard::cut_heads(8, 4, {}, three);
    for (const Range& range : *cut) CHECK(range.size() >= 2);
}

TEST_CASE("the longest share is the shortest possible") {
    const std::uint32_t heads = 6;
    const std::vector<shard::HeadShare> shares{{3, 2}, {1.5, 1}, {6, 4}};
    const auto time = [&](const std::vector<Range>& cut) {
        double longest = 0;
        for (std::size_t r = 0; r < cut.size(); ++r) {
            longest = std::max(longest, cut[r].size() * shares[r].query +
                                            shard::kv_heads_of(cut[r], 2).size() * shares[r].kv);
        }
        return longest;
    };
    double best = 1e9;
    for (std::uint32_t a = 0; a <= heads; ++a) {
        for (std::uint32_t b = a; b <= heads; ++b) {
            best = std::min(best, time({{0, a}, {a, b}, {b, heads}}));
        }
    }
    // A cut across a KV head must gain one percent, so that much may be left.
    CHECK(time(*shard::cut_heads(heads, 2, {}, shares)) <= best / 0.99);
}

TEST_CASE("no slice exceeds its device's memory") {
    TestModel model(shape("f32", 8, 4, 32, 768));
    const Slice all{{0, 8}, {0, 4}, {0, 768}, {0, model.hparams.n_vocab}};
    const std::uint64_t whole = shard::slice_weight_bytes(model.file->header(), model.hparams, all);
    shard::Demand demand;
    demand.kv_positions = 256;
    demand.kv_head_bytes = model.hparams.head_dim * 4;
    std::vector<Device> devices = model.devices(3);
    devices[0].memory_bytes = whole;
    devices[1].memory_bytes = whole / 6;
    devices[2].memory_bytes = whole;
    const auto plan = model.plan(devices, demand);
    check_invariants(model, plan, false);
    for (std::size_t r = 0; r < plan.size(); ++r) {
        CHECK(shard::slice_weight_bytes(model.file->header(), model.hparams, plan[r]) +
                  shard::kv_bytes(model.hparams, plan[r], 256, demand.kv_head_bytes) <=
              devices[r].memory_bytes);
    }
    for (Device& device : devices) device.memory_bytes = whole / 10;
    CHECK_THROWS_WITH_AS(model.plan(devices, demand), doctest::Contains("does not fit"),
                         shard::PlanError);
}

TEST_CASE("slices of equal devices add up to the model") {
    TestModel model(shape("f32", 8, 4, 32, 768));
    std::uint64_t sum = 0;
    for (const Slice& slice : model.plan(model.devices(4))) {
        sum += slice_weight_bytes(model.file->header(), model.hparams, slice);
    }
    std::uint64_t norms = 0;
    std::uint64_t matrices = 0;
    for (const model::TensorInfo& t : model.file->header().tensors()) {
        if (t.name == model::tensor_name::kEmbedding) continue;
        (t.rows == 1 ? norms : matrices) += t.bytes;
    }
    CHECK(sum == matrices + 4 * norms);
}

}  // namespace shoal::tests
