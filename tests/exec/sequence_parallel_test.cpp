// Prompts whose rows are shared out among devices, against one device that computes them all.
#include "daemon/exec/sequence_parallel.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <string>

#include "tests/exec/local_cluster.hpp"
#include "tests/instrumented.hpp"
#include "tests/model/model_maker.hpp"
#include "tests/model/temporary_folder.hpp"

namespace shoal::tests {
namespace {

struct MadeModel {
    TemporaryFolder folder;
    std::unique_ptr<model::GgufFile> file;

    explicit MadeModel(const ModelShape& shape) {
        make_model(shape, folder.folder / "model.gguf");
        file = std::make_unique<model::GgufFile>(folder.folder / "model.gguf");
    }
};

ModelShape shaped(const char* architecture, const char* type, std::uint32_t dim,
                  std::uint32_t heads, std::uint32_t kv_heads, std::uint32_t head_dim = 32) {
    ModelShape shape;
    shape.architecture = architecture;
    shape.type = type;
    shape.dim = dim;
    shape.n_heads = heads;
    shape.n_kv_heads = kv_heads;
    shape.head_dim = head_dim;
    if (shape.architecture == "qwen3moe") shape.n_experts = 6;
    return shape;
}

ClusterOptions options(std::uint32_t devices, exec::PayloadType type = exec::PayloadType::f32,
                       kernels::KvType kv = kernels::KvType::f32) {
    ClusterOptions o;
    o.devices = devices;
    o.threads = 1 + devices % 2;
    o.exec.kv_type = kv;
    o.exec.collectives = type;
    o.exec.kv_positions = 2304;
    o.exec.max_rows = 64;
    return o;
}

// Rows are shared out unevenly, and from three devices on one of them takes none.
ClusterOptions sharing(ClusterOptions o, std::uint32_t from = 1) {
    o.exec.sequence_rows = from;
    for (std::uint32_t r = 0; r < o.devices; ++r) o.row_shares.push_back(2 + r % 3);
    if (o.devices > 2) o.row_shares[1] = 0;
    return o;
}

double largest(const std::vector<float>& x) {
    double most = 0;
    for (const float v : x) most = std::max(most, std::abs(double{v}));
    return most;
}

double difference(const std::vector<float>& a, const std::vector<float>& b) {
    REQUIRE(a.size() == b.size());
    double most = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        most = std::max(most, std::abs(double{a[i]} - b[i]));
    }
    return most;
}

}  // namespace

TEST_CASE("whether rows are shared out follows from the prompt, however much was generated") {
    const MadeModel model(shaped("llama", "f32", 128, 4, 2));
    LocalCluster cluster(*model.file, sharing(options(2), 40));
    cluster.run_plan([&](exec::Root& root) {
        const auto shared = [&](std::uint32_t prompt) {
            exec::Sequence sequence;
            sequence.tokens = text_of(60);
            sequence.prompt = prompt;
            root.settle_kind(sequence);
            return sequence.shared_until;
        };
        CHECK(shared(0) == 60);
        CHECK(shared(50) == 50);
        CHECK(shared(39) == 0);
    });
}

TEST_CASE("rows shared out give the bits of one device, for every architecture") {
    // As many KV heads as heads, one for all heads, heads wider together than the model, experts,
    // biases, norms of q and k; devices without heads.
    for (const ModelShape& shape :
         {shaped("llama", "f32", 192, 6, 2), shaped("llama", "q4_k_m", 256, 4, 4, 64),
          shaped("llama", "f16", 128, 4, 1), shaped("qwen3", "q8_0", 96, 8, 4, 64),
          shaped("qwen2", "q4_0", 128, 4, 2), shaped("qwen3moe", "f32", 256, 4, 4)}) {
        const MadeModel model(shape);
        LocalCluster one(*model.file, options(1));
        for (const std::size_t length : by_speed<std::vector<std::size_t>>({1, 7, 128}, {7})) {
            const auto prompt = text_of(length);
            const Generated expected = one.generate(prompt, 1, {}, true);
            for (const std::uint32_t n :
                 by_speed<std::vector<std::uint32_t>>({1, 2, 3, 5, 8}, {3})) {
                CAPTURE(shape.architecture);
                CAPTURE(shape.type);
                CAPTURE(length);
                CAPTURE(n);
                LocalCluster many(*model.file, sharing(options(n)));
                CHECK(many.generate(prompt, 1, {}, true).logits == expected.logits);
            }
        }
    }
}

TEST_CASE("on every instruction set rows shared out give the bits of one device with the same") {
    const MadeModel model(shaped("qwen3", "q4_k_m", 256, 8, 2));
    const auto prompt = text_of(70);
    for (const kernels::Isa isa : isas_here()) {
        CAPTURE(std::string(kernels::name(isa)));
        ClusterOptions alone = options(1), shared = sharing(options(3));
        alone.isa = shared.isa = isa;
        const auto expected = LocalCluster(*model.file, alone).generate(prompt, 1, {}, true);
        const auto got = LocalCluster(*model.file, shared).generate(prompt, 1, {}, true);
        CHECK(got.logits == expected.logits);
    }
}

TEST_CASE("a long prompt in many steps, and what is decoded after it") {
    const MadeModel model(shaped("llama", "q4_k_m", 256, 4, 2, 64));
    const auto prompt = text_of(by_speed<std::size_t>(2000, 200));
    for (const kernels::KvType kv :
         {kernels::KvType::f32, kernels::KvType::f16, kernels::KvType::q8_0}) {
        LocalCluster one(*model.file, options(1, exec::PayloadType::f32, kv));
        const Generated expected = one.generate(prompt, 8, {}, true);
        for (const std::uint32_t n : by_speed<std::vector<std::uint32_t>>({2, 4, 5}, {4})) {
            CAPTURE(std::string(kernels::name(kv)));
            CAPTURE(n);
            LocalCluster many(*model.file, sharing(options(n, exec::PayloadType::f32, kv)));
            const Generated got = many.generate(prompt, 8, {}, true);
            // The first is of the prompt alone, the others are of both kinds of steps.
            CHECK(got.logits[0] == expected.logits[0]);
            CHECK(got.ids == expected.ids);
            for (std::size_t t = 1; t < expected.logits.size(); ++t) {
                CHECK(difference(got.logits[t], expected.logits[t]) <
                      0.02 * largest(expected.logits[t]));
            }
        }
    }
}

TEST_CASE("coded heads move logits no more than coded sums do") {
    const MadeModel model(shaped("qwen3", "q8_0", 256, 8, 2));
    const auto prompt = text_of(100);
    LocalCluster one(*model.file, options(1));
    const std::vector<float> expected = one.generate(prompt, 1, {}, true).logits[0];
    for (const exec::PayloadType type :
         {exec::PayloadType::q8_0, exec::PayloadType::q16, exec::PayloadType::f16}) {
        CAPTURE(std::string(exec::name(type)));
        LocalCluster sums(*model.file, options(4, type));
        LocalCluster heads(*model.file, sharing(options(4, type)));
        const double of_sums = difference(sums.generate(prompt, 1, {}, true).logits[0], expected);
        const double of_heads = difference(heads.generate(prompt, 1, {}, true).logits[0], expected);
        CHECK(of_heads > 0);
        CHECK(of_heads < 2 * of_sums);
    }
}

TEST_CASE("every device's cache holds what one device's holds for the same heads") {
    const MadeModel model(shaped("llama", "f32", 192, 6, 2));
    const auto prompt = text_of(60);
    const auto cached = [&](LocalCluster& cluster, std::uint32_t rank, std::uint32_t head) {
        std::vector<std::byte> bytes;
        const exec::KvCache& cache = cluster.executor(rank).cache();
        for (std::uint32_t l = 0; l < cluster.hparams().n_layers; ++l) {
            const std::uint32_t block = cache.blocks(1)[0];
            for (const std::byte* at : {cache.k(block, l, head), cache.v(block, l, head)}) {
                bytes.insert(bytes.end(), at, at + cache.head_bytes());
            }
        }
        return bytes;
    };
    const auto after_prompt = [&](LocalCluster& cluster, const std::function<void()>& look) {
        cluster.run_plan([&](exec::Root& root) {
            exec::Sequence sequence{1, prompt, 0, {}};
            exec::Sequence* running = &sequence;
            std::vector<exec::Chosen> chosen;
            REQUIRE(root.step({&running, 1}, chosen) == exec::Status::ok);
            look();
        });
    };
    LocalCluster one(*model.file, options(1));
    LocalCluster many(*model.file, sharing(options(5)));
    std::vector<std::vector<std::byte>> expected;
    after_prompt(one, [&] {
        for (std::uint32_t h = 0; h < 2; ++h) expected.push_back(cached(one, 0, h));
    });
    after_prompt(many, [&] {
        std::size_t looked = 0;
        for (std::uint32_t r = 0; r < 5; ++r) {
            const shard::Range held = many.plan()[r].kv_heads;
            for (std::uint32_t h = 0; h < held.size(); ++h, ++looked) {
                CHECK(cached(many, r, h) == expected[held.begin + h]);
            }
        }
        CHECK(looked > 2);
    });
}

TEST_CASE("what a sequence's tokens are does not depend on what is computed beside it") {
    const MadeModel model(shaped("llama", "q8_0", 128, 4, 2));
    ClusterOptions o = sharing(options(3, exec::PayloadType::q8_0), 40);
    o.exec.max_outputs = 4;
    LocalCluster cluster(*model.file, o);
    std::vector<std::vector<std::int32_t>> prompts{text_of(5), text_of(150), text_of(39),
                                                   text_of(40)};
    const auto together = cluster.generate_together(prompts, 12, {});
    for (std::size_t i = 0; i < prompts.size(); ++i) {
        CHECK(cluster.generate(prompts[i], 12, {}).ids == together[i]);
    }
}

TEST_CASE("layers that do not fit the memory are read again for each step") {
    ModelShape shape = shaped("qwen3moe", "q4_0", 128, 4, 2);
    shape.n_layers = 3;
    const MadeModel model(shape);
    const shard::LayerBytes sizes =
        shard::whole_layer_bytes(model.file->header(), model::read_hparams(*model.file));
    const auto prompt = text_of(130);
    LocalCluster held(*model.file, sharing(options(3)));
    const auto expected = held.generate(prompt, 3, {}, true).logits;
    CHECK(held.whole(0)->bytes() == sizes.all);
    for (const std::uint64_t bytes : {std::uint64_t{0}, sizes.largest * 2}) {
        CAPTURE(bytes);
        ClusterOptions o = sharing(options(3));
        o.whole_bytes = bytes;
        LocalCluster reading(*model.file, o);
        CHECK(reading.whole(0)->held_layers() < reading.hparams().n_layers);
        CHECK(reading.generate(prompt, 3, {}, true).logits == expected);
        CHECK(reading.whole(0)->bytes() <= std::max(bytes, sizes.largest));
    }
}

TEST_CASE("the bytes on the wire are those of the formula") {
    const MadeModel model(shaped("llama", "q8_0", 256, 8, 2));
    constexpr std::uint32_t kRows = 64;
    // As many rows for each device: heads, too, are as many, and each KV head is held by two.
    ClusterOptions o = options(4, exec::PayloadType::q8_0, kernels::KvType::f16);
    o.exec.sequence_rows = 1;
    o.row_shares = {1, 1, 1, 1};
    LocalCluster cluster(*model.file, o);
    cluster.generate(text_of(kRows), 1, {});
    const std::uint64_t with_output = cluster.sent(1);
    LocalCluster no_rows(*model.file, o);
    no_rows.run_plan([&](exec::Root& root) {
        exec::Sequence sequence{1, text_of(kRows + 1), 0, {}};
        exec::Sequence* running = &sequence;
        std::vector<exec::Chosen> chosen;
        REQUIRE(root.step({&running, 1}, chosen) == exec::Status::ok);
    });
    // To each of three others: 16 rows of two query heads in Q8_0, and of a KV head in f16, once a
    // layer; and back the query heads, but for the last layer, where nothing is read.
    const std::uint64_t layers = cluster.hparams().n_layers, q = 2 * 34, kv = 2 * 32 * 2;
    const std::uint64_t to_heads = 3 * 16 * (q + kv), to_rows = 3 * 16 * q;
    CHECK(no_rows.sent(1) == layers * to_heads + (layers - 1) * to_rows);
    // The last row is the last device's: others send it their heads of it.
    CHECK(with_output > layers * to_heads + (layers - 1) * to_rows + q);
    CHECK(with_output < layers * to_heads + (layers - 1) * to_rows + q + 200);
}

TEST_CASE("steps that share out rows say nothing of a device's speed") {
    const MadeModel model(shaped("llama", "q8_0", 128, 4, 2));
    LocalCluster cluster(*model.file, sharing(options(3)));
    cluster.generate(text_of(150), 5, {});
    // Three steps of the prompt, four of one token each.
    for (std::uint32_t r = 0; r < 3; ++r) CHECK(cluster.judged_steps(r) == 4);
}

TEST_CASE("rows are shared out whole, each to one device, as the shares say") {
    const exec::RowShares shares{{}, {3, 0, 1, 4}};
    std::vector<std::size_t> begins;
    for (const std::size_t rows : {0U, 1U, 2U, 7U, 8U, 4096U}) {
        shares.cut(rows, begins);
        REQUIRE(begins.size() == 5);
        CHECK(begins.front() == 0);
        CHECK(begins.back() == rows);
        for (std::uint32_t r = 0; r < 4; ++r) {
            REQUIRE(begins[r] <= begins[r + 1]);
            CHECK(begins[r + 1] - begins[r] <= shares.most(r, rows));
        }
        CHECK(begins[1] == begins[2]);
    }
    CHECK(begins == std::vector<std::size_t>{0, 1536, 1536, 2048, 4096});
}

TEST_CASE("a sequence-parallel step in a plan without is malformed") {
    const MadeModel model(shaped("llama", "f32", 64, 2, 2));
    LocalCluster cluster(*model.file, options(1));
    exec::Step step;
    step.rows.push_back({1, 0});
    step.embeddings.resize(64 * sizeof(float));
    step.sequence_parallel = true;
    CHECK(cluster.run(step) == exec::Status::malformed);
    step.sequence_parallel = false;
    CHECK(cluster.run(step) == exec::Status::ok);
}

}  // namespace shoal::tests
