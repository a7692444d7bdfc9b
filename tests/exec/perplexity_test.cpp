// What each weight type costs the demo model on a story that it has not seen: the executor against
// float64 over the same weights, and the types against the weights they were made from.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <numeric>
#include <string>

#include "daemon/model/tokenizer.hpp"
#include "tests/exec/double_model.hpp"
#include "tests/exec/local_cluster.hpp"
#include "tests/instrumented.hpp"
#include "tests/model/model_maker.hpp"
#include "tests/model/temporary_folder.hpp"

namespace shoal::tests {
namespace {

const std::filesystem::path kShipped = std::filesystem::path(DEMO_FOLDER) / "shoal-demo-q8_0.gguf";

/// By the model's own generator (packaging/demo/stories.py), of the seed "perplexity/1": none of
/// those that the model was trained on.
constexpr const char* kStory =
    "Once upon a time, there was a young otter named Tess. She lived in a house beside the river. "
    "All the neighbours knew Tess because she was always playing hide and seek.\n\n"
    "One foggy morning, Tess found a small golden key near the beach. It must open something. How "
    "exciting! \"I need a friend for this,\" thought Tess, and she went to get Dot the sparrow. "
    "\"Are you coming?\" she asked. \"Always,\" said Dot.\n\n"
    "They went through the market, down into a dark valley and along a stone wall. \"Are we "
    "lost?\" asked Dot. \"Not lost. Just not there yet,\" said Tess. And then, behind a big stone, "
    "they found it: a room full of books. Every book was about a different adventure.\n\n"
    "\"It is beautiful,\" whispered Dot. They stayed until evening, and they promised to come "
    "back. At home her grandfather asked, \"Where have you been all day?\" Tess and Dot looked at "
    "each other. \"Nowhere special,\" they said, and they giggled. Her grandfather kissed her good "
    "night, and soon she was fast asleep.";

std::vector<std::int32_t> story_ids(const model::GgufFile& file) {
    return model::Tokenizer::from_header(file.header())->encode(kStory, {});
}

/// All positions but the last, whose successor is not known, in one step.
double executor_loss(const model::GgufFile& file, const std::vector<std::int32_t>& ids) {
    ClusterOptions options;
    const auto rows = static_cast<std::uint32_t>(ids.size() - 1);
    options.exec.kv_type = kernels::KvType::f32;
    options.exec.kv_positions = 512;
    options.exec.max_rows = rows;
    options.exec.max_outputs = rows;
    LocalCluster cluster(file, options);
    std::vector<std::uint32_t> all(rows);
    std::iota(all.begin(), all.end(), 0U);
    return loss_of(cluster.logits_at({ids.begin(), ids.end() - 1}, all), ids);
}

/// Bounds of kernels/NUMERICS.md#perplexity, in nats per token.
struct Bound {
    const char* type;
    double rounding;  ///< executor against float64 over the same weights
    double cost;      ///< float64 over these weights against the shipped ones
};

}  // namespace

TEST_CASE("the perplexity of every weight type lies near float64") {
    const Bound bounds[] = {
        {"f32", 1e-6, 1e-9},      {"f16", 1e-6, 1e-4},    {"bf16", 1e-6, 1e-4},
        {"q8_0", 0.002, 1e-9},    {"q6_k", 0.002, 0.001}, {"q5_k", 0.002, 0.001},
        {"q5_1", 0.002, 0.002},   {"q5_0", 0.002, 0.002}, {"q4_k", 0.002, 0.005},
        {"q4_1", 0.002, 0.005},   {"q4_0", 0.002, 0.005}, {"iq4_nl", 0.002, 0.005},
        {"iq4_xs", 0.002, 0.005}, {"q3_k", 0.002, 0.02},  {"q2_k", 0.002, 0.12},
    };
    const model::GgufFile shipped(kShipped);
    const auto ids = story_ids(shipped);
    REQUIRE(ids.size() == 247);
    const double base = DoubleModel(shipped).loss(ids);
    // The figure of packaging/demo/check.py, whose float64 pass is another program.
    CHECK(base == doctest::Approx(0.26506783869257533).epsilon(1e-9));
    for (std::size_t i = 0; i < std::size(bounds); i += by_speed(1, 5)) {
        const Bound& bound = bounds[i];
        CAPTURE(bound.type);
        const TemporaryFolder folder;
        requantise(kShipped, bound.type, folder.folder / "m.gguf", 2);
        const model::GgufFile file(folder.folder / "m.gguf");
        const double exact = DoubleModel(file).loss(ids);
        const double ours = executor_loss(file, ids);
        MESSAGE(std::string(bound.type)
                << ": perplexity " << std::exp(ours) << ", float64 " << std::exp(exact)
                << ", rounding " << ours - exact << ", cost " << exact - base);
        CHECK(std::abs(ours - exact) <= bound.rounding);
        CHECK(std::abs(exact - base) <= bound.cost);
    }
}

}  // namespace shoal::tests
