// The model against reference outputs: greedy ids and logits, one device and several.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/exec/local_cluster.hpp"

namespace shoal::tests {
namespace {

using nlohmann::json;

std::filesystem::path reference_dir() {
    const char* dir = std::getenv("SHOAL_REFERENCE");
    return dir == nullptr ? "" : dir;
}

bool skipped() {
    if (!reference_dir().empty()) return false;
    MESSAGE("skipped: SHOAL_REFERENCE is not set");
    return true;
}

json golden(const std::string& model) {
    std::ifstream file(reference_dir() / "golden" / (model + ".json"));
    return json::parse(file);
}

ClusterOptions exact(std::uint32_t devices) {
    ClusterOptions options;
    options.devices = devices;
    options.exec.kv_type = kernels::KvType::f32;
    options.exec.collectives = exec::PayloadType::f32;
    options.exec.kv_positions = 512;
    options.exec.max_rows = 64;
    return options;
}

double largest_difference(const std::vector<float>& a, const std::vector<double>& b) {
    REQUIRE(a.size() == b.size());
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
    return largest;
}

double first_logits_error(LocalCluster& cluster, const json& run) {
    const auto out =
        cluster.generate(run["prompt_ids"].get<std::vector<std::int32_t>>(), 1, {}, true);
    return largest_difference(out.logits[0],
                              run["numpy_f64"]["first_step_logits"].get<std::vector<double>>());
}

}  // namespace

TEST_CASE("greedy ids of float models equal the reference on any number of devices") {
    if (skipped()) return;
    for (const std::string model :
         {"stories260K-f32", "stories260K-f16", "stories260K-qwen2-f32"}) {
        const model::GgufFile file(reference_dir() / "models" / (model + ".gguf"));
        const json expected = golden(model);
        for (const std::uint32_t devices : {1U, 2U, 3U, 4U, 5U, 8U}) {
            LocalCluster cluster(file, exact(devices));
            for (const json& run : expected["runs"]) {
                CAPTURE(model);
                CAPTURE(devices);
                CAPTURE(run["prompt"].get<std::string>());
                const auto ids = run["generated_ids"].get<std::vector<std::int32_t>>();
                const auto out =
                    cluster.generate(run["prompt_ids"].get<std::vector<std::int32_t>>(),
                                     static_cast<std::uint32_t>(ids.size()), {});
                CHECK(out.ids == ids);
            }
        }
    }
}

TEST_CASE("logits of float models are within 1e-3 of the float64 reference") {
    if (skipped()) return;
    for (const std::string model :
         {"stories260K-f32", "stories260K-f16", "stories260K-qwen2-f32"}) {
        const model::GgufFile file(reference_dir() / "models" / (model + ".gguf"));
        const json expected = golden(model);
        for (const std::uint32_t devices : {1U, 5U}) {
            LocalCluster cluster(file, exact(devices));
            double worst = 0;
            for (const json& run : expected["runs"]) {
                const double error = first_logits_error(cluster, run);
                CHECK(error < 1e-3);
                worst = std::max(worst, error);
            }
            MESSAGE(model << ", " << devices << " devices: largest logit error " << worst);
        }
    }
}

TEST_CASE("quantised models are as near to float64 as the reference engine") {
    if (skipped()) return;
    for (const std::string model :
         {"stories260K-ff192-q8_0", "stories260K-ff192-q4_0", "stories260K-w256-q8_0",
          "stories260K-w256-q4_k_m", "stories260K-w256-q6_k"}) {
        const model::GgufFile file(reference_dir() / "models" / (model + ".gguf"));
        const json expected = golden(model);
        for (const std::uint32_t devices : {1U, 2U, 5U}) {
            LocalCluster cluster(file, exact(devices));
            std::vector<double> ours;
            std::vector<double> theirs;
            for (const json& run : expected["runs"]) {
                ours.push_back(first_logits_error(cluster, run));
                theirs.push_back(run["numpy_f64"]["first_step_max_abs_diff"].get<double>());
            }
            std::sort(ours.begin(), ours.end());
            std::sort(theirs.begin(), theirs.end());
            const auto median = [](const std::vector<double>& v) {
                return (v[(v.size() - 1) / 2] + v[v.size() / 2]) / 2;
            };
            CAPTURE(model);
            CAPTURE(devices);
            // Several devices add partial sums in another order, and five cut this model's heads
            // inside blocks of wo. One difference of a rounding in a hundred thousand activations
            // flips a byte, which moves a logit by hundredths: six prompts are too few to hold
            // that median to a tenth.
            CHECK(median(ours) <= (devices > 1 ? 1.25 : 1.1) * median(theirs));
            CHECK(ours.back() <= 1.5 * theirs.back());
            MESSAGE(model << ", " << devices << " devices: median " << median(ours) << " ("
                          << median(theirs) << "), worst " << ours.back() << " (" << theirs.back()
                          << ")");
        }
    }
}

TEST_CASE("Q8_0 payloads and an f16 KV cache move the logits of a tiny model by a few tenths") {
    if (skipped()) return;
    const std::string model = "stories260K-f32";
    const model::GgufFile file(reference_dir() / "models" / (model + ".gguf"));
    const json expected = golden(model);
    const auto worst = [&](exec::PayloadType payload, kernels::KvType kv) {
        ClusterOptions options = exact(3);
        options.exec.collectives = payload;
        options.exec.kv_type = kv;
        LocalCluster cluster(file, options);
        double error = 0;
        for (const json& run : expected["runs"]) {
            error = std::max(error, first_logits_error(cluster, run));
        }
        return error;
    };
    const double payloads = worst(exec::PayloadType::q8_0, kernels::KvType::f32);
    const double halves = worst(exec::PayloadType::f16, kernels::KvType::f32);
    const double cache = worst(exec::PayloadType::f32, kernels::KvType::f16);
    MESSAGE("largest logit error on 3 devices: " << payloads << " with Q8_0 payloads, " << halves
                                                 << " with f16 ones, " << cache
                                                 << " with an f16 KV cache");
    CHECK(payloads < 0.5);
    CHECK(halves < 0.02);
    CHECK(cache < 0.1);
}

}  // namespace shoal::tests
