// The shipped demo model: what this repository alone can hold the forward pass to.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "daemon/model/tokenizer.hpp"
#include "tests/exec/local_cluster.hpp"
#include "tests/instrumented.hpp"
#include "tests/model/model_maker.hpp"
#include "tests/model/temporary_folder.hpp"

namespace shoal::tests {
namespace {

using Counts = std::vector<std::uint32_t>;

using nlohmann::json;

const std::filesystem::path kFolder = DEMO_FOLDER;

std::filesystem::path shipped() {
    return kFolder / "shoal-demo-q8_0.gguf";
}

// Prompts and their greedy continuations by an independent float64 forward pass in Python over
// the dequantised weights (packaging/demo/check.py).
json golden() {
    std::ifstream file(kFolder / "golden.json");
    return json::parse(file);
}

ClusterOptions options(std::uint32_t devices) {
    ClusterOptions o;
    o.devices = devices;
    o.exec.kv_type = kernels::KvType::f32;
    o.exec.collectives = exec::PayloadType::f32;
    o.exec.kv_positions = 512;
    return o;
}

double largest_difference(const std::vector<float>& a, const std::vector<double>& b) {
    REQUIRE(a.size() == b.size());
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
    return largest;
}

}  // namespace

TEST_CASE("the demo model's prompts become the ids that it was trained on") {
    const model::GgufFile file(shipped());
    const auto tokenizer = model::Tokenizer::from_header(file.header());
    const json expected = golden();
    for (const json& run : expected) {
        CHECK(tokenizer->encode(run["prompt"].get<std::string>(), {}) ==
              run["prompt_ids"].get<std::vector<model::TokenId>>());
        model::Detokenizer detokenizer(*tokenizer, false);
        std::string text;
        for (const auto id : run["generated_ids"].get<std::vector<model::TokenId>>()) {
            text += detokenizer.push(id);
        }
        CHECK(text + detokenizer.flush() == run["text"].get<std::string>());
    }
}

TEST_CASE("the demo model as F32 writes what float64 writes, on any number of devices") {
    const TemporaryFolder folder;
    requantise(shipped(), "f32", folder.folder / "demo-f32.gguf", 1);
    const model::GgufFile file(folder.folder / "demo-f32.gguf");
    const json expected = golden();
    for (const std::uint32_t devices : by_speed<Counts>({1, 2, 3, 5, 8}, {1, 5})) {
        LocalCluster cluster(file, options(devices));
        for (const json& run : expected) {
            CAPTURE(devices);
            CAPTURE(run["prompt"].get<std::string>());
            const auto ids = run["generated_ids"].get<std::vector<std::int32_t>>();
            const Generated got =
                cluster.generate(run["prompt_ids"].get<std::vector<std::int32_t>>(),
                                 static_cast<std::uint32_t>(ids.size()), {}, true);
            CHECK(got.ids == ids);
            CHECK(largest_difference(got.logits.back(),
                                     run["last_logits"].get<std::vector<double>>()) < 1e-3);
        }
    }
}

TEST_CASE("the demo model as F32 writes what float64 writes on every instruction set") {
    const TemporaryFolder folder;
    requantise(shipped(), "f32", folder.folder / "demo-f32.gguf", 1);
    const model::GgufFile file(folder.folder / "demo-f32.gguf");
    const json run = golden().front();
    auto ids = run["generated_ids"].get<std::vector<std::int32_t>>();
    ids.resize(std::min<std::size_t>(ids.size(), by_speed(48, 8)));
    for (const kernels::Isa isa : isas_here()) {
        for (const std::uint32_t devices : {1U, 3U}) {
            CAPTURE(std::string(kernels::name(isa)));
            CAPTURE(devices);
            ClusterOptions o = options(devices);
            o.isa = isa;
            LocalCluster cluster(file, o);
            CHECK(cluster
                      .generate(run["prompt_ids"].get<std::vector<std::int32_t>>(),
                                static_cast<std::uint32_t>(ids.size()), {})
                      .ids == ids);
        }
    }
}

TEST_CASE("quantised demo models give the same bits on all vector instruction sets") {
    const TemporaryFolder folder;
    const json run = golden().front();
    const auto prompt = run["prompt_ids"].get<std::vector<std::int32_t>>();
    const auto tokens = by_speed<std::uint32_t>(24, 4);
    for (const char* type : {"q8_0", "q4_0", "q4_k_m", "q2_k_mixed", "iq4_xs_mixed"}) {
        const std::filesystem::path path = folder.folder / type;
        requantise(shipped(), type, path, 1);
        const model::GgufFile file(path);
        for (const std::uint32_t devices : {1U, 3U}) {
            LocalCluster best(file, options(devices));
            const Generated same = best.generate(prompt, tokens, {}, true);
            for (const kernels::Isa isa : vector_isas_here()) {
                CAPTURE(std::string(type));
                CAPTURE(std::string(kernels::name(isa)));
                CAPTURE(devices);
                ClusterOptions o = options(devices);
                o.isa = isa;
                LocalCluster cluster(file, o);
                const Generated got = cluster.generate(prompt, tokens, {}, true);
                CHECK(got.ids == same.ids);
                CHECK(got.logits == same.logits);  // to the last bit
            }
        }
    }
}

TEST_CASE("the shipped Q8_0 model is near float64 on every step of its stories") {
    const model::GgufFile file(shipped());
    const json expected = golden();
    for (const std::uint32_t devices : {1U, 3U}) {
        LocalCluster cluster(file, options(devices));
        for (const json& run : expected) {
            CAPTURE(run["prompt"].get<std::string>());
            // Prompt and story together: the logits of the last step.
            auto ids = run["prompt_ids"].get<std::vector<std::int32_t>>();
            const auto story = run["generated_ids"].get<std::vector<std::int32_t>>();
            ids.insert(ids.end(), story.begin(), story.end() - 1);
            const Generated got = cluster.generate(ids, 1, {}, true);
            const double error =
                largest_difference(got.logits[0], run["last_logits"].get<std::vector<double>>());
            MESSAGE(devices << " devices, " << run["prompt"].get<std::string>()
                            << ": largest logit error " << error);
            CHECK(error < 0.5);
        }
    }
}

TEST_CASE("a q8_0 KV cache moves the logits of the demo model as F32 by a few hundredths") {
    // As F32, so that nothing else is rounded to bytes.
    const TemporaryFolder folder;
    requantise(shipped(), "f32", folder.folder / "demo-f32.gguf", 1);
    const model::GgufFile file(folder.folder / "demo-f32.gguf");
    const json expected = golden();
    const auto worst = [&](kernels::KvType type) {
        ClusterOptions o = options(1);
        o.exec.kv_type = type;
        LocalCluster cluster(file, o);
        double error = 0;
        for (const json& run : expected) {
            auto ids = run["prompt_ids"].get<std::vector<std::int32_t>>();
            const auto story = run["generated_ids"].get<std::vector<std::int32_t>>();
            ids.insert(ids.end(), story.begin(), story.end() - 1);
            const Generated got = cluster.generate(ids, 1, {}, true);
            error = std::max(
                error,
                largest_difference(got.logits[0], run["last_logits"].get<std::vector<double>>()));
        }
        return error;
    };
    const double f16 = worst(kernels::KvType::f16);
    const double q8 = worst(kernels::KvType::q8_0);
    MESSAGE("largest logit error: " << f16 << " with an f16 KV cache, " << q8 << " with q8_0");
    CHECK(f16 < 0.02);
    CHECK(q8 > f16);
    CHECK(q8 < 0.2);
}

}  // namespace shoal::tests
