// N devices against one, batches against single rows, threads against one thread.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/exec/double_model.hpp"
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

ModelShape tiny(const char* architecture, const char* type) {
    ModelShape shape;
    shape.architecture = architecture;
    shape.type = type;
    if (shape.architecture == "qwen3moe") shape.n_experts = 6;
    return shape;
}

ClusterOptions options(std::uint32_t devices, std::uint32_t threads = 1) {
    ClusterOptions o;
    o.devices = devices;
    o.threads = threads;
    o.exec.kv_type = kernels::KvType::f32;
    o.exec.collectives = exec::PayloadType::f32;
    o.exec.kv_positions = 512;
    o.exec.max_rows = 64;
    return o;
}

const std::vector<std::int32_t> kPrompt{1, 300, 301, 302, 17, 99, 401, 5, 300, 42, 7};

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
    REQUIRE(a.size() == b.size());
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        largest = std::max(largest, std::abs(double{a[i]} - b[i]));
    }
    return largest;
}

double spread(const std::vector<float>& logits) {
    const auto [low, high] = std::minmax_element(logits.begin(), logits.end());
    return double{*high} - *low;
}

}  // namespace

TEST_CASE("N devices compute what one device computes, for every architecture") {
    ModelShape untied_odd = tiny("llama", "f32");
    untied_odd.n_heads = 6;
    untied_odd.n_kv_heads = 2;
    untied_odd.n_ff = 172;
    untied_odd.dim = 192;
    ModelShape tied = tiny("llama", "f16");
    tied.tied = true;
    tied.rope_freqs = true;
    ModelShape wide_heads = tiny("qwen3", "f32");
    wide_heads.head_dim = 64;
    ModelShape unlike_layers = tiny("llama", "f32");
    unlike_layers.n_layers = 3;
    unlike_layers.layer_ff = {200, 768, 64};
    ModelShape experts = tiny("qwen3moe", "f32");
    experts.n_ff = 172;
    experts.n_experts_used = 3;
    for (const ModelShape& shape :
         {untied_odd, tied, tiny("qwen2", "f32"), wide_heads, unlike_layers, experts}) {
        const MadeModel model(shape);
        LocalCluster one(*model.file, options(1));
        const Generated expected = one.generate(kPrompt, 12, {}, true);
        CHECK(spread(expected.logits[0]) > 0.5);
        for (std::uint32_t n = 2; n <= shape.n_heads + 1; n += by_speed(1, 3)) {
            CAPTURE(shape.architecture);
            CAPTURE(n);
            LocalCluster many(*model.file, options(n));
            const Generated got = many.generate(kPrompt, 12, {}, true);
            CHECK(got.ids == expected.ids);
            CHECK(largest_difference(got.logits[0], expected.logits[0]) < 1e-4);
        }
    }
}

TEST_CASE("quantised slices differ from the whole by rounding only") {
    for (const char* type :
         {"q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl",
          "iq4_xs", "q2_k_mixed", "q3_k_m", "q4_k_m", "iq4_xs_mixed"}) {
        const MadeModel model(tiny("llama", type));
        LocalCluster one(*model.file, options(1));
        const Generated expected = one.generate(kPrompt, 1, {}, true);
        // Head cuts at 32 columns: every device quantises the same blocks of activations.
        for (const std::uint32_t n : by_speed<std::vector<std::uint32_t>>({2, 3, 8}, {3})) {
            CAPTURE(type);
            CAPTURE(n);
            LocalCluster many(*model.file, options(n));
            const Generated got = many.generate(kPrompt, 1, {}, true);
            CHECK(largest_difference(got.logits[0], expected.logits[0]) <
                  0.02 * spread(expected.logits[0]));
        }
    }
}

TEST_CASE("quantised experts differ by rounding only") {
    for (const char* type : {"q8_0", "q4_k_m"}) {
        ModelShape shape = tiny("qwen3moe", type);
        shape.n_ff = 256;
        const MadeModel model(shape);
        LocalCluster one(*model.file, options(1));
        const Generated expected = one.generate(kPrompt, 1, {}, true);
        for (const std::uint32_t n : {2U, 3U, 8U}) {
            CAPTURE(type);
            CAPTURE(n);
            LocalCluster many(*model.file, options(n));
            const Generated got = many.generate(kPrompt, 1, {}, true);
            CHECK(largest_difference(got.logits[0], expected.logits[0]) <
                  0.02 * spread(expected.logits[0]));
        }
    }
}

TEST_CASE("quantised layers of unlike width differ by rounding only") {
    ModelShape shape = tiny("llama", "q4_k");
    shape.n_layers = 3;
    shape.layer_ff = {256, 1024, 512};
    const MadeModel model(shape);
    LocalCluster one(*model.file, options(1));
    const Generated expected = one.generate(kPrompt, 1, {}, true);
    for (const std::uint32_t n : {2U, 5U}) {
        CAPTURE(n);
        LocalCluster many(*model.file, options(n));
        const Generated got = many.generate(kPrompt, 1, {}, true);
        CHECK(largest_difference(got.logits[0], expected.logits[0]) <
              0.02 * spread(expected.logits[0]));
    }
}

TEST_CASE("uneven devices compute the same") {
    const MadeModel model(tiny("llama", "f32"));
    LocalCluster one(*model.file, options(1));
    ClusterOptions uneven = options(3);
    uneven.speeds = {5, 1, 2};
    LocalCluster many(*model.file, uneven);
    CHECK(many.plan()[0].ffn.size() > 2 * many.plan()[1].ffn.size());
    CHECK(many.generate(kPrompt, 16, {}).ids == one.generate(kPrompt, 16, {}).ids);
}

TEST_CASE("the reference kernels and the fastest agree on greedy ids") {
    const MadeModel model(tiny("llama", "q4_k_m"));
    ClusterOptions reference = options(1);
    reference.isa = kernels::Isa::ref;
    LocalCluster slow(*model.file, reference);
    LocalCluster fast(*model.file, options(1));
    const Generated a = slow.generate(kPrompt, 1, {}, true);
    const Generated b = fast.generate(kPrompt, 1, {}, true);
    CHECK(largest_difference(a.logits[0], b.logits[0]) < 1e-3);
}

TEST_CASE("logits of experts depend neither on the batch, nor on the threads") {
    const MadeModel model(tiny("qwen3moe", "q4_k"));
    const auto prompt = text_of(50);
    LocalCluster batched(*model.file, options(1));
    const Generated expected = batched.generate(prompt, 3, {}, true);
    for (const std::uint32_t rows : {1U, 7U}) {
        for (const std::uint32_t threads : {1U, 3U}) {
            CAPTURE(rows);
            CAPTURE(threads);
            ClusterOptions other = options(1, threads);
            other.exec.max_rows = rows;
            LocalCluster cluster(*model.file, other);
            CHECK(cluster.generate(prompt, 3, {}, true).logits == expected.logits);
        }
    }
}

TEST_CASE("logits depend neither on the batch, nor on the threads") {
    ModelShape shape = tiny("llama", "q8_0");
    shape.head_dim = 32;  // what a q8_0 cache needs
    const MadeModel model(shape);
    const auto prompt = text_of(300);
    for (const auto type : {kernels::KvType::f32, kernels::KvType::f16, kernels::KvType::q8_0}) {
        ClusterOptions o = options(1);
        o.exec.kv_type = type;
        LocalCluster batched(*model.file, o);
        const Generated expected = batched.generate(prompt, 3, {}, true);
        for (const std::uint32_t rows : {1U, 7U, 300U}) {
            for (const std::uint32_t threads : {1U, 3U}) {
                CAPTURE(kernels::name(type));
                CAPTURE(rows);
                CAPTURE(threads);
                ClusterOptions other = options(1, threads);
                other.exec.kv_type = type;
                other.exec.max_rows = rows;
                LocalCluster cluster(*model.file, other);
                const Generated got = cluster.generate(prompt, 3, {}, true);
                CHECK(got.logits == expected.logits);  // to the last bit
            }
        }
    }
}

TEST_CASE("every architecture computes what float64 computes, biases, norms, scaled angles too") {
    std::vector<ModelShape> shapes;
    for (const char* architecture : {"llama", "qwen2", "qwen3", "qwen3moe"}) {
        shapes.push_back(tiny(architecture, "f32"));
        ModelShape& scaled = shapes.emplace_back(shapes.back());
        scaled.rope_scale = 2.5F;
        scaled.rope_freqs = std::string(architecture) == "llama";
    }
    shapes.emplace_back(shapes.front()).layer_ff = {64, 200};
    for (const ModelShape& shape : shapes) {
        CAPTURE(shape.architecture);
        CAPTURE(shape.rope_scale);
        const MadeModel made(shape);
        ClusterOptions o = options(1, 2);
        o.exec.max_outputs = o.exec.max_rows;
        LocalCluster cluster(*made.file, o);
        const auto tokens = text_of(40);
        std::vector<std::uint32_t> all(tokens.size());
        std::iota(all.begin(), all.end(), 0U);
        const auto got = cluster.logits_at(tokens, all);
        const auto expected = DoubleModel(*made.file).logits(tokens);
        for (std::size_t t = 0; t < tokens.size(); ++t) {
            const std::vector<float> row(expected[t].begin(), expected[t].end());
            CHECK(largest_difference(got[t], row) < 1e-5 * spread(row));
        }
    }
}

TEST_CASE("logits do not depend on which other rows have an output") {
    const MadeModel made(tiny("qwen3", "q4_k"));
    ClusterOptions o = options(1, 2);
    o.exec.max_outputs = o.exec.max_rows;
    LocalCluster cluster(*made.file, o);
    const auto tokens = text_of(40);
    std::vector<std::uint32_t> all(tokens.size());
    std::iota(all.begin(), all.end(), 0U);
    const auto reference = cluster.logits_at(tokens, all);
    REQUIRE(reference.size() == tokens.size());
    const std::vector<std::vector<std::uint32_t>> choices{{39}, {0}, {3, 4, 17, 38}, {}};
    for (const auto& wanted : choices) {
        const auto logits = cluster.logits_at(tokens, wanted);
        REQUIRE(logits.size() == wanted.size());
        for (std::size_t i = 0; i < wanted.size(); ++i) CHECK(logits[i] == reference[wanted[i]]);
    }
}

TEST_CASE("long sequences split over threads give the same bits") {
    ModelShape shape = tiny("llama", "f32");
    shape.n_layers = 1;
    shape.n_context = 4096;
    shape.head_dim = 32;
    const MadeModel model(shape);
    const auto prompt = text_of(2500);
    for (const auto type : {kernels::KvType::f32, kernels::KvType::q8_0}) {
        ClusterOptions o = options(1);
        o.exec.kv_type = type;
        o.exec.kv_positions = 4096;
        o.exec.max_rows = 256;
        LocalCluster single(*model.file, o);
        const auto expected = single.generate(prompt, 3, {}, true).logits;
        for (const std::uint32_t rows : {256U, 5U}) {
            CAPTURE(kernels::name(type));
            CAPTURE(rows);
            o.threads = 3;
            o.exec.max_rows = rows;
            LocalCluster split(*model.file, o);
            CHECK(split.generate(prompt, 3, {}, true).logits == expected);
        }
    }
}

TEST_CASE("sequences that run together give what each gives alone") {
    const MadeModel model(tiny("qwen2", "q4_0"));
    const std::vector<std::vector<std::int32_t>> prompts{kPrompt, text_of(90), {1, 5}};
    LocalCluster together(*model.file, options(2));
    const auto got = together.generate_together(prompts, 20, {});
    for (std::size_t i = 0; i < prompts.size(); ++i) {
        LocalCluster alone(*model.file, options(2));
        CHECK(alone.generate(prompts[i], 20, {}).ids == got[i]);
    }
}

TEST_CASE("sequences beyond the outputs of a step wait, and give what each gives alone") {
    const MadeModel model(tiny("llama", "f32"));
    const std::vector<std::vector<std::int32_t>> prompts{kPrompt, {1, 5}, text_of(70), {1}};
    ClusterOptions few = options(2);
    few.exec.max_outputs = 2;
    LocalCluster together(*model.file, few);
    const auto got = together.generate_together(prompts, 8, {});
    for (std::size_t i = 0; i < prompts.size(); ++i) {
        CHECK(together.generate(prompts[i], 8, {}).ids == got[i]);
    }
}

TEST_CASE("a sequence that forks another goes on as if it had computed all itself") {
    const MadeModel model(tiny("llama", "f32"));
    LocalCluster cluster(*model.file, options(2));
    const auto expected = cluster.generate(text_of(60), 4, {}).ids;
    std::vector<std::int32_t> forked;
    cluster.run_plan([&](exec::Root& root) {
        exec::Sequence first{1, text_of(59), 0, {}};
        exec::Sequence second{2, text_of(60), 50, {}};
        exec::Sequence* running = &first;
        std::vector<exec::Chosen> chosen;
        REQUIRE(root.step({&running, 1}, chosen) == exec::Status::ok);
        // Also of one that goes with the same step.
        root.fork({1, 2, 50});
        root.release(1);
        running = &second;
        while (forked.size() < expected.size()) {
            REQUIRE(root.step({&running, 1}, chosen) == exec::Status::ok);
            REQUIRE(chosen.size() == 1);
            forked.push_back(chosen[0].token);
            second.tokens.push_back(chosen[0].token);
        }
    });
    CHECK(forked == expected);
}

TEST_CASE("a step has no more rows of prompts than it may, and one of each that needs no more") {
    const MadeModel model(tiny("llama", "f32"));
    LocalCluster cluster(*model.file, options(2));
    const auto expected = cluster.generate(text_of(60), 3, {}).ids;
    cluster.run_plan([&](exec::Root& root) {
        exec::Sequence answer{1, {1, 5}, 0, {}};
        exec::Sequence prompt{2, text_of(60), 0, {}}, other{3, text_of(200), 0, {}};
        std::vector<exec::Sequence*> running{&answer};
        std::vector<exec::Chosen> chosen;
        std::vector<std::int32_t> got;
        REQUIRE(root.step(running, chosen) == exec::Status::ok);
        running.push_back(&prompt);
        running.push_back(&other);
        for (std::uint32_t i = 0; got.size() < expected.size(); ++i) {
            const std::uint32_t before = prompt.computed, both = before + other.computed;
            REQUIRE(i < 100);
            for (const exec::Chosen& c : chosen) {
                running[c.sequence]->tokens.push_back(c.token);
                if (c.sequence == 1) got.push_back(c.token);
            }
            REQUIRE(root.step(running, chosen, {i % 3 == 0 ? 0U : 7U}) == exec::Status::ok);
            CHECK(answer.computed == i + 3);
            const std::uint32_t rows = i % 3 == 0 ? 0 : 7;
            if (before < 60) CHECK(prompt.computed + other.computed == both + rows);
            const std::uint32_t left = 60 - std::min(before, 60U);
            if (left > 1) CHECK(prompt.computed == before + std::min(left, rows));
        }
        CHECK(got == expected);
    });
}

TEST_CASE("the same seed gives the same text on any cut") {
    const MadeModel model(tiny("llama", "f32"));
    exec::Sampling filtered;
    filtered.temperature = 0.9F;
    filtered.top_k = 40;
    filtered.top_p = 0.95F;
    filtered.min_p = 0.02F;
    filtered.repeat_penalty = 1.1F;
    filtered.seed = 11;
    exec::Sampling whole_vocabulary;
    whole_vocabulary.temperature = 1.5F;
    whole_vocabulary.seed = 5;
    exec::Sampling wide_nucleus;  // larger than the candidates of the first request
    wide_nucleus.temperature = 3;
    wide_nucleus.top_p = 0.9F;
    wide_nucleus.seed = 5;
    for (const exec::Sampling& sampling : {filtered, whole_vocabulary, wide_nucleus}) {
        LocalCluster one(*model.file, options(1));
        const auto expected = one.generate(kPrompt, 40, sampling).ids;
        for (const std::uint32_t n : {2U, 5U, 8U}) {
            CAPTURE(n);
            LocalCluster many(*model.file, options(n));
            CHECK(many.generate(kPrompt, 40, sampling).ids == expected);
        }
        exec::Sampling other_seed = sampling;
        other_seed.seed = 12;
        CHECK(one.generate(kPrompt, 40, other_seed).ids != expected);
    }
}

TEST_CASE("the KV cache takes what the formula says") {
    ModelShape shape = tiny("llama", "f32");
    shape.head_dim = 32;  // what q8_0 needs
    const MadeModel model(shape);
    for (const auto type : {kernels::KvType::f32, kernels::KvType::f16, kernels::KvType::q8_0}) {
        ClusterOptions o = options(5);
        o.exec.kv_type = type;
        const LocalCluster cluster(*model.file, o);
        for (std::uint32_t r = 0; r < 5; ++r) {
            const std::uint64_t elements = std::uint64_t{2} * cluster.hparams().n_layers *
                                           cluster.plan()[r].kv_heads.size() *
                                           cluster.hparams().head_dim * 512;
            const std::uint64_t expected = type == kernels::KvType::f32   ? elements * 4
                                           : type == kernels::KvType::f16 ? elements * 2
                                                                          : elements * 34 / 32;
            CHECK(cluster.executor(r).cache().bytes() == expected);
            // The planner counts the same.
            CHECK(shard::kv_bytes(cluster.hparams(), cluster.plan()[r], 512,
                                  kernels::kv_head_bytes(type, cluster.hparams().head_dim)) ==
                  expected);
        }
    }
}

TEST_CASE("N devices hold N shares of the weights") {
    const MadeModel model(tiny("llama", "q8_0"));
    const LocalCluster one(*model.file, options(1));
    const LocalCluster four(*model.file, options(4));
    for (std::uint32_t r = 0; r < 4; ++r) {
        const double share = static_cast<double>(four.weights(r).bytes()) /
                             static_cast<double>(one.weights(0).bytes());
        CHECK(share == doctest::Approx(0.25).epsilon(0.1));
    }
}

TEST_CASE("rounded payloads keep all devices in step") {
    const MadeModel model(tiny("llama", "f32"));
    LocalCluster one(*model.file, options(1));
    const Generated expected = one.generate(kPrompt, 1, {}, true);
    const std::pair<exec::PayloadType, double> bounds[] = {{exec::PayloadType::q8_0, 0.1},
                                                           {exec::PayloadType::f16, 0.01},
                                                           {exec::PayloadType::q16, 0.001}};
    for (const auto& bound : bounds) {
        const exec::PayloadType payload = bound.first;
        ClusterOptions o = options(3);
        o.exec.collectives = payload;
        LocalCluster many(*model.file, o);
        const Generated got = many.generate(kPrompt, 40, {}, true);
        const double error = largest_difference(got.logits[0], expected.logits[0]);
        MESSAGE(std::string(exec::name(payload))
                << " payloads move logits by up to " << error << " of a spread of "
                << spread(expected.logits[0]));
        CHECK(error > 0);
        CHECK(error < bound.second * spread(expected.logits[0]));
    }
}

}  // namespace shoal::tests
