// What a device keeps in memory: its weights once, the KV cache and the buffers that it counts.
#include <doctest/doctest.h>
#include <malloc.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>

#include "daemon/shard/cutter.hpp"
#include "tests/counted_memory.hpp"
#include "tests/exec/local_cluster.hpp"
#include "tests/instrumented.hpp"
#include "tests/model/model_maker.hpp"
#include "tests/model/temporary_folder.hpp"

namespace shoal::tests {
namespace {

/// Bytes of this process that no file backs; 0 when the system does not say. Counted page by page,
/// where the figures of /proc/self/status may lag by some pages for each CPU.
std::uint64_t anonymous_bytes() {
    std::ifstream file("/proc/self/smaps_rollup");
    std::string word;
    std::uint64_t kib = 0;
    while (file >> word) {
        if (word == "Anonymous:" && file >> kib) return kib * 1024;
    }
    return 0;
}

/// The same now, after what earlier tests freed has gone back to the system: a copy must not hide
/// in pages that the allocator still had.
std::uint64_t settled_bytes() {
    malloc_trim(0);
    return anonymous_bytes();
}

bool skipped() {
    if (!kInstrumented && anonymous_bytes() != 0) return false;
    MESSAGE("skipped: memory cannot be counted here");
    return true;
}

/// About 25 million weights, 8 million of them in one matrix.
ModelShape some_tens_of_megabytes(const char* type) {
    ModelShape shape;
    shape.type = type;
    shape.threads = 2;
    shape.n_layers = 4;
    shape.dim = 512;
    shape.n_heads = 16;
    shape.n_kv_heads = 8;
    shape.n_ff = 2048;
    shape.n_vocab = 16384;
    return shape;
}

}  // namespace

TEST_CASE("loading takes the memory of the weights once, at its peak too") {
    if (skipped()) return;
    const SmallPages small_pages;
    for (const char* type : {"q8_0", "f16"}) {
        const TemporaryFolder folder;
        make_model(some_tens_of_megabytes(type), folder.folder / "model.gguf");
        const model::GgufFile file(folder.folder / "model.gguf");
        const model::Hparams hparams = model::read_hparams(file);
        const model::FileSource source(file);
        const shard::Slice slice = shard::cut_evenly(file.header(), hparams, 1).at(0);
        for (const kernels::Isa isa : {kernels::Isa::ref, kernels::best_isa()}) {
            CAPTURE(std::string(type));
            CAPTURE(std::string(kernels::name(isa)));
            exec::ThreadPool pool(1);
            const std::uint64_t before = settled_bytes();
            std::uint64_t peak = 0;
            const auto weights = exec::SliceWeights::load(
                source, hparams, slice, *kernels::table_for(isa), pool,
                [&](std::uint64_t, std::uint64_t) { peak = std::max(peak, anonymous_bytes()); });
            peak = std::max(peak, anonymous_bytes());
            const auto taken = static_cast<double>(peak) - static_cast<double>(before);
            const auto held = static_cast<double>(weights.bytes());
            CAPTURE(taken);
            CHECK(held > 10e6);
            CHECK(taken >= 0.98 * held);  // so the counting counts
            CHECK(taken <= 1.1 * held);
        }
    }
}

TEST_CASE("a device that computes keeps its weights, its cache and its buffers") {
    if (skipped()) return;
    const SmallPages small_pages;
    const TemporaryFolder folder;
    make_model(some_tens_of_megabytes("q8_0"), folder.folder / "model.gguf");
    const model::GgufFile file(folder.folder / "model.gguf");
    ClusterOptions options;
    options.exec.kv_positions = 512;
    options.exec.max_rows = 64;
    const std::uint64_t before = settled_bytes();
    LocalCluster cluster(file, options);
    // Long enough for every block of the cache.
    static_cast<void>(cluster.generate(std::vector<std::int32_t>(400, 7), 3, {}));
    const std::uint64_t after = settled_bytes();
    const auto taken = static_cast<double>(after) - static_cast<double>(before);
    const auto counted = static_cast<double>(
        cluster.weights(0).bytes() + cluster.executor(0).cache().bytes() +
        exec::Executor::buffer_bytes(cluster.hparams(), cluster.plan()[0], options.exec, 1));
    CHECK(taken >= 0.98 * static_cast<double>(cluster.weights(0).bytes()));
    CHECK(taken <= 1.1 * counted);
}

}  // namespace shoal::tests
