// Whole models whose sums go in two hops, against one device, and against sums in one hop.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
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

constexpr std::uint32_t kMaxRows = 64;
constexpr exec::PayloadType kTypes[] = {exec::PayloadType::q8_0, exec::PayloadType::q16,
                                        exec::PayloadType::f16, exec::PayloadType::f32};

ClusterOptions options(std::uint32_t devices, std::uint32_t scatter_rows,
                       exec::PayloadType type = exec::PayloadType::f32) {
    ClusterOptions o;
    o.devices = devices;
    o.threads = 1 + devices % 2;
    o.exec.kv_type = kernels::KvType::f32;
    o.exec.collectives = type;
    o.exec.scatter_rows = scatter_rows;
    o.exec.kv_positions = 512;
    o.exec.max_rows = kMaxRows;
    return o;
}

ModelShape shaped(const char* architecture, const char* type, std::uint32_t dim,
                  std::uint32_t heads, std::uint32_t kv_heads) {
    ModelShape shape;
    shape.architecture = architecture;
    shape.type = type;
    shape.dim = dim;
    shape.n_heads = heads;
    shape.n_kv_heads = kv_heads;
    shape.head_dim = 32;
    if (shape.architecture == "qwen3moe") shape.n_experts = 6;
    return shape;
}

const std::vector<std::int32_t> kPrompt{1, 300, 301, 302, 17, 99, 401, 5, 300, 42, 7};

}  // namespace

TEST_CASE("N devices compute what one device computes when sums go in two hops") {
    // Six blocks of columns and six heads: parts and shares of eight devices are empty. 100 columns
    // are cut one by one.
    for (const ModelShape& shape :
         {shaped("llama", "f32", 192, 6, 2), shaped("qwen3", "f32", 100, 8, 8),
          shaped("qwen3moe", "f32", 256, 4, 4)}) {
        const MadeModel model(shape);
        LocalCluster one(*model.file, options(1, 1));
        const Generated expected = one.generate(kPrompt, 12, {}, true);
        for (std::uint32_t n = 2; n <= 8; n += by_speed(1, 3)) {
            CAPTURE(shape.architecture);
            CAPTURE(n);
            ClusterOptions o = options(n, 1);
            if (n % 2 == 1) o.speeds = std::vector<double>(n, 1.0);
            if (n % 2 == 1) o.speeds[n / 2] = 4;
            LocalCluster many(*model.file, o);
            const Generated got = many.generate(kPrompt, 12, {}, true);
            CHECK(got.ids == expected.ids);
            for (std::size_t t = 0; t < expected.logits.size(); ++t) {
                double most = 0, worst = 0;
                for (std::size_t v = 0; v < expected.logits[t].size(); ++v) {
                    most = std::max(most, std::abs(double{expected.logits[t][v]}));
                    worst =
                        std::max(worst, std::abs(double{got.logits[t][v]} - expected.logits[t][v]));
                }
                CHECK(worst < 1e-4 * most);
            }
        }
    }
}

TEST_CASE("logits are the same bits whether sums go in one hop, in two, or in either") {
    const MadeModel model(shaped("llama", "q8_0", 192, 6, 2));
    for (const exec::PayloadType type : kTypes) {
        for (const std::uint32_t n : {2U, 3U, 8U}) {
            CAPTURE(std::string(exec::name(type)));
            CAPTURE(n);
            LocalCluster two(*model.file, options(n, 1, type));
            const Generated expected = two.generate(kPrompt, 10, {}, true);
            // The prompt in two hops and its last layer, and what follows, in one; and all in one.
            for (const std::uint32_t scatter_rows : {4U, kMaxRows}) {
                LocalCluster other(*model.file, options(n, scatter_rows, type));
                CHECK(other.generate(kPrompt, 10, {}, true).logits == expected.logits);
            }
        }
    }
}

TEST_CASE("a replay in one prefill gives the bits that decoding gave, also if that took one hop") {
    const MadeModel model(shaped("qwen3", "q4_0", 256, 8, 4));
    for (const exec::PayloadType type : kTypes) {
        CAPTURE(std::string(exec::name(type)));
        LocalCluster cluster(*model.file, options(4, 4, type));
        const Generated text = cluster.generate(kPrompt, 24, {}, true);
        for (const std::size_t at : {5U, 17U, 23U}) {
            std::vector<std::int32_t> so_far = kPrompt;
            so_far.insert(so_far.end(), text.ids.begin(),
                          text.ids.begin() + static_cast<std::ptrdiff_t>(at));
            CHECK(cluster.logits_along(so_far, so_far.size())[0] == text.logits[at]);
        }
    }
}

}  // namespace shoal::tests
