// Steps do not allocate: the program's operator new is replaced by one that counts.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

#include "daemon/shard/cutter.hpp"
#include "tests/exec/local_cluster.hpp"
#include "tests/instrumented.hpp"
#include "tests/model/model_maker.hpp"
#include "tests/model/temporary_folder.hpp"

namespace {

std::atomic<std::size_t> allocations{0};

void* counted(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) noexcept {
    allocations.fetch_add(1, std::memory_order_relaxed);
    void* memory = nullptr;
    const int error = posix_memalign(&memory, std::max(alignment, sizeof(void*)), bytes);
    return error == 0 ? memory : nullptr;
}

void* or_throw(void* memory) {
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}

// Not inlined: where the compiler sees free() of what operator new gave, it warns.
[[gnu::noinline]] void give_back(void* memory) noexcept {
    std::free(memory);
}

}  // namespace

// Those of arrays call these.
void* operator new(std::size_t bytes) {
    return or_throw(counted(bytes));
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
    return or_throw(counted(bytes, static_cast<std::size_t>(alignment)));
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
    return counted(bytes);
}
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return counted(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept {
    give_back(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    give_back(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
    give_back(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    give_back(memory);
}

namespace shoal::exec {
namespace {

/// Tokens [first, first + count) of a sequence, its last one with an output.
Step step_of(const model::GgufFile& file, std::uint32_t first, std::uint32_t count) {
    const model::TensorInfo& table = file.header().tensor(model::tensor_name::kEmbedding);
    const std::size_t bytes = kernels::row_bytes(table.type, table.cols);
    Step step;
    step.embedding_type = table.type;
    for (std::uint32_t i = 0; i < count; ++i) {
        step.rows.push_back({1, first + i});
        step.embeddings.resize((i + 1) * bytes);
        const model::GgufFile::Place at = file.place(table);
        at.file.read(at.begin + (first + i) % table.rows * bytes,
                     {step.embeddings.data() + i * bytes, bytes});
    }
    Output output;
    output.row = count - 1;
    output.score.temperature = 0.8F;
    output.score.candidates = 40;
    output.score.draw = true;
    output.score.repeat_penalty = 1.1F;
    output.score.seen = {{1, 1}, {7, 2}};
    step.outputs = {output};
    return step;
}

/// Two devices, of which the other says what this one says.
struct Echo final : Collective {
    std::uint32_t rank() const noexcept override { return 0; }
    std::uint32_t size() const noexcept override { return 2; }
    Status all_gather(std::span<const std::byte> mine,
                      std::vector<std::span<const std::byte>>& theirs) override {
        theirs.assign(2, mine);
        return Status::ok;
    }
    Status all_to_all(std::span<const std::span<const std::byte>> mine,
                      std::vector<std::span<const std::byte>>& theirs) override {
        theirs.assign(2, mine[0]);
        return Status::ok;
    }
    Status broadcast(std::span<const std::byte>, std::span<const std::byte>&) override {
        return Status::aborted;
    }
    Status gather(std::span<const std::byte>, std::vector<std::span<const std::byte>>&) override {
        return Status::aborted;
    }
};

void check_allocations(const tests::ModelShape& shape, Collective&& collective) {
    tests::TemporaryFolder folder;
    tests::make_model(shape, folder.folder / "model.gguf");
    const model::GgufFile file(folder.folder / "model.gguf");
    const model::Hparams hparams = model::read_hparams(file);
    const model::FileSource source(file);
    const auto plan = shard::cut_evenly(file.header(), hparams, 1);
    const kernels::Table& kernels = *kernels::table_for(kernels::best_isa());
    ThreadPool pool(3);
    const SliceWeights weights = SliceWeights::load(source, hparams, plan[0], kernels, pool,
                                                    [](std::uint64_t, std::uint64_t) {});
    ExecutorOptions options;
    options.max_rows = 64;
    options.kv_positions = 1024;
    options.scatter_rows = 2;  // one hop while decoding, if the collective is of several
    Executor executor(hparams, plan[0], weights, kernels, pool, options);

    // A prompt in parts, across blocks of the cache, then some tokens; the first part may allocate.
    REQUIRE(executor.run(step_of(file, 0, 64), collective) == Status::ok);
    for (std::uint32_t at = 64; at < 700;) {
        const std::uint32_t count = at < 640 ? 64 : 1;
        const Step step = step_of(file, at, count);
        const std::size_t before = allocations.load();
        const Status status = executor.run(step, collective);
        const std::size_t after = allocations.load();
        REQUIRE(status == Status::ok);
        CHECK(after == before);
        at += count;
    }
}

// Two devices with all heads each, which share out the rows.
void check_shared_allocations(const tests::ModelShape& shape) {
    tests::TemporaryFolder folder;
    tests::make_model(shape, folder.folder / "model.gguf");
    const model::GgufFile file(folder.folder / "model.gguf");
    const model::Hparams hparams = model::read_hparams(file);
    const model::FileSource source(file);
    const shard::Slice all = shard::whole_slice(hparams);
    const kernels::Table& kernels = *kernels::table_for(kernels::best_isa());
    ThreadPool pool(2);
    const SliceWeights weights = SliceWeights::load(source, hparams, all, kernels, pool, {});
    const auto nobody = [](std::uint64_t, std::uint64_t) {};
    auto whole = WholeWeights::load(source, hparams, kernels, pool, UINT64_MAX, nobody);
    ExecutorOptions options;
    options.max_rows = 64;
    options.kv_positions = tests::by_speed(16384U, 1024U);
    options.sequence_rows = 1;
    options.row_shares = {{all, all}, {1, 1}};
    Executor executor(hparams, all, weights, kernels, pool, options, 0, &whole);
    Echo echo;
    // However long the prompt is, its steps take what the first one took, and the cache.
    for (std::uint32_t at = 0; at < options.kv_positions; at += 64) {
        Step step = step_of(file, at, 64);
        step.outputs.clear();
        step.sequence_parallel = true;
        const std::size_t before = allocations.load();
        const Status status = executor.run(step, echo);
        const std::size_t after = allocations.load();
        REQUIRE(status == Status::ok);
        // The list of a sequence's blocks grows as the cache does.
        if (at != 0) CHECK(after - before <= 1);
    }
    CHECK(executor.cache().used_blocks() == options.kv_positions / KvCache::kBlockPositions);
}

}  // namespace

TEST_CASE("a step allocates nothing once its sequence has begun") {
    tests::ModelShape shape;
    shape.type = "q4_k";
    check_allocations(shape, SoloCollective());
    check_allocations(shape, Echo());
    shape.architecture = "qwen3moe";
    shape.n_experts = 8;
    check_allocations(shape, SoloCollective());
    check_allocations(shape, Echo());
}

TEST_CASE("nor does a step whose rows are shared out, of a prompt of any length") {
    tests::ModelShape shape;
    shape.type = "q4_k";
    shape.n_context = 16384;
    check_shared_allocations(shape);
}

}  // namespace shoal::exec
