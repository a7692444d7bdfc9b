// The model against reference outputs: greedy ids and logits, one device and several.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/exec/double_model.hpp"
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

constexpr const char* kFloatModels[] = {"stories260K-f32", "stories260K-f16",
                                        "stories260K-qwen2-f32"};
constexpr const char* kQuantisedModels[] = {"stories260K-ff192-q8_0", "stories260K-ff192-q4_0",
                                            "stories260K-w256-q8_0", "stories260K-w256-q4_k_m",
                                            "stories260K-w256-q6_k"};

/// A prompt and the story that float64 writes after it, with float64's logits: of the prompt's
/// last token and of each in the story.
struct Story {
    std::vector<std::int32_t> ids;
    std::size_t prompt = 0;
    std::vector<std::vector<double>> logits;
};

std::vector<Story> stories(const model::GgufFile& file, const json& expected, std::size_t steps) {
    const DoubleModel exact(file);
    std::vector<Story> out;
    for (const json& run : expected["runs"]) {
        Story& story = out.emplace_back();
        story.ids = run["prompt_ids"].get<std::vector<std::int32_t>>();
        story.prompt = story.ids.size();
        const auto more = run["numpy_f64"]["generated_ids"].get<std::vector<std::int32_t>>();
        REQUIRE(more.size() >= steps);
        story.ids.insert(story.ids.end(), more.begin(),
                         more.begin() + static_cast<std::ptrdiff_t>(steps) - 1);
        const auto all = exact.logits(story.ids);
        story.logits.assign(all.begin() + static_cast<std::ptrdiff_t>(story.prompt) - 1, all.end());
    }
    return out;
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2;
}

struct Errors {
    double median;  ///< of all steps
    double worst;   ///< of the stories' first steps
};

Errors errors_of(LocalCluster& cluster, const std::vector<Story>& stories) {
    std::vector<double> all;
    double worst = 0;
    for (const Story& story : stories) {
        const auto logits = cluster.logits_along(story.ids, story.prompt);
        REQUIRE(logits.size() == story.logits.size());
        for (std::size_t t = 0; t < logits.size(); ++t) {
            all.push_back(largest_difference(logits[t], story.logits[t]));
            if (t == 0) worst = std::max(worst, all.back());
        }
    }
    return {median(all), worst};
}

}  // namespace

TEST_CASE("greedy ids of float models equal the reference on any number of devices") {
    if (skipped()) return;
    for (const std::string model : kFloatModels) {
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
    for (const std::string model : kFloatModels) {
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

TEST_CASE("greedy ids of float models equal the reference on every instruction set") {
    if (skipped()) return;
    for (const std::string model : kFloatModels) {
        const model::GgufFile file(reference_dir() / "models" / (model + ".gguf"));
        const json expected = golden(model);
        for (const kernels::Isa isa : isas_here()) {
            for (const std::uint32_t devices : {1U, 3U}) {
                ClusterOptions options = exact(devices);
                options.isa = isa;
                LocalCluster cluster(file, options);
                for (const std::size_t i : {std::size_t{1}, std::size_t{4}}) {
                    const json& run = expected["runs"][i];
                    CAPTURE(model);
                    CAPTURE(std::string(kernels::name(isa)));
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
}

TEST_CASE("quantised models are as near to float64 as the reference engine") {
    if (skipped()) return;
    // One difference of a rounding in a hundred thousand activations flips a byte, which moves a
    // logit by hundredths. On the first steps of six prompts alone the median therefore jumps
    // between a few values: with the ff192-q8_0 model, 0.89 of the reference engine's on one
    // device and 1.19 on two, while over 384 steps it is 1.06 on both, 1.09 on four and five
    // (which cut heads inside blocks of wo), and 1.06 with the portable kernels.
    constexpr std::size_t kSteps = 64;
    for (const std::string model : kQuantisedModels) {
        const model::GgufFile file(reference_dir() / "models" / (model + ".gguf"));
        const json expected = golden(model);
        const std::vector<Story> texts = stories(file, expected, kSteps);
        std::vector<double> first_steps;
        for (const json& run : expected["runs"]) {
            first_steps.push_back(run["numpy_f64"]["first_step_max_abs_diff"].get<double>());
        }
        const double worst = *std::max_element(first_steps.begin(), first_steps.end());
        // The vector instruction sets give the same bits, as the next test says.
        for (const kernels::Isa isa : {kernels::best_isa(), kernels::Isa::ref}) {
            for (const std::uint32_t devices : {1U, 2U, 5U}) {
                if (isa == kernels::Isa::ref && devices > 1) continue;
                ClusterOptions options = exact(devices);
                options.isa = isa;
                LocalCluster cluster(file, options);
                const Errors ours = errors_of(cluster, texts);
                CAPTURE(model);
                CAPTURE(std::string(kernels::name(isa)));
                CAPTURE(devices);
                CHECK(ours.median <= 1.1 * median(first_steps));
                CHECK(ours.worst <= 1.5 * worst);
                MESSAGE(model << ", " << kernels::name(isa) << ", " << devices
                              << " devices: median " << ours.median << " (" << median(first_steps)
                              << "), worst first step " << ours.worst << " (" << worst << ")");
            }
        }
    }
}

TEST_CASE("logits of quantised models are the same bits on all vector instruction sets") {
    if (skipped()) return;
    for (const std::string model : kQuantisedModels) {
        const model::GgufFile file(reference_dir() / "models" / (model + ".gguf"));
        const json expected = golden(model);
        const auto prompt = expected["runs"][4]["prompt_ids"].get<std::vector<std::int32_t>>();
        for (const std::uint32_t devices : {1U, 3U}) {
            LocalCluster best(file, exact(devices));
            const Generated same = best.generate(prompt, 64, {}, true);
            for (const kernels::Isa isa : vector_isas_here()) {
                CAPTURE(model);
                CAPTURE(std::string(kernels::name(isa)));
                CAPTURE(devices);
                ClusterOptions options = exact(devices);
                options.isa = isa;
                LocalCluster cluster(file, options);
                const Generated got = cluster.generate(prompt, 64, {}, true);
                CHECK(got.ids == same.ids);
                CHECK(got.logits == same.logits);  // to the last bit
            }
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
