// Steps in two halves that take turns, against steps in one, and how the turns go.
#include "daemon/exec/overlap.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>

#include "tests/exec/local_cluster.hpp"
#include "tests/instrumented.hpp"
#include "tests/model/model_maker.hpp"
#include "tests/model/temporary_folder.hpp"

namespace shoal::tests {
namespace overlap_test {

using exec::LayerCollective;
using exec::Overlap;
using exec::Status;
using Bytes = std::vector<std::byte>;
using Views = std::vector<std::span<const std::byte>>;

/// Notes whose collectives came, and hands out views that the next one ends.
class Noted final : public LayerCollective {
  public:
    std::uint32_t rank() const noexcept override { return 0; }
    std::uint32_t size() const noexcept override { return 2; }
    Status all_gather(std::span<const std::byte> mine, Views& theirs) override {
        calls += static_cast<char>(mine[0]);
        if (calls.size() == fails_at) return Status::timed_out;
        std::fill(buffer_.begin(), buffer_.end(), std::byte{0});
        buffer_.assign(mine.begin(), mine.end());
        theirs = {mine, buffer_};
        return Status::ok;
    }
    Status all_to_all(std::span<const std::span<const std::byte>> mine, Views& theirs) override {
        return all_gather(mine[1], theirs);
    }

    std::string calls;
    std::size_t fails_at = 0;

  private:
    Bytes buffer_;
};

constexpr char kNames[] = {'a', 'b'};

Bytes named(std::size_t half) {
    return Bytes(16, static_cast<std::byte>(kNames[half]));
}

ClusterOptions options(std::uint32_t devices, std::uint32_t rows) {
    ClusterOptions o;
    o.devices = devices;
    o.threads = 1 + devices % 2;
    o.exec.kv_positions = 1024;
    o.exec.max_rows = rows;
    return o;
}

ClusterOptions in_halves(ClusterOptions o) {
    o.exec.overlap = true;
    return o;
}

TEST_CASE("halves have their collectives in turns, and one goes on when the other has ended") {
    Noted noted;
    Overlap halves(noted);
    const Status status = halves.run([](std::size_t half, LayerCollective& collective) {
        const Bytes mine = named(half);
        Views theirs;
        for (int i = 0; i < (half == 0 ? 2 : 5); ++i) {
            const Status s = collective.all_gather(mine, theirs);
            if (s != Status::ok) return s;
        }
        return Status::ok;
    });
    CHECK(status == Status::ok);
    CHECK(noted.calls == "ababbbb");
}

TEST_CASE("what a half received stays as it is while the other exchanges") {
    Noted noted;
    Overlap halves(noted);
    int wrong = 0;  // One half computes at a time.
    const Status status = halves.run([&](std::size_t half, LayerCollective& collective) {
        const Bytes mine = named(half);
        const std::vector<std::span<const std::byte>> parts{{}, mine};
        Views theirs, before;
        for (int i = 0; i < 50; ++i) {
            const Status s = i % 2 == 0 ? collective.all_gather(mine, theirs)
                                        : collective.all_to_all(parts, theirs);
            if (s != Status::ok) return s;
            for (const auto view : theirs) wrong += !std::ranges::equal(view, mine);
        }
        return Status::ok;
    });
    CHECK(status == Status::ok);
    CHECK(wrong == 0);
}

TEST_CASE("halves compute in turns, however soon a collective is done") {
    // The second half reads K and V that the first one keeps in the same layer.
    Noted noted;
    Overlap halves(noted);
    std::string computed;
    const Status status = halves.run([&](std::size_t half, LayerCollective& collective) {
        const Bytes mine = named(half);
        Views theirs;
        Status s = Status::ok;
        for (int i = 0; i < by_speed(2000, 200) && s == Status::ok; ++i) {
            computed += kNames[half];
            s = collective.all_gather(mine, theirs);
        }
        return s;
    });
    CHECK(status == Status::ok);
    CHECK(computed.find("aa") == std::string::npos);
    CHECK(computed.find("bb") == std::string::npos);
}

TEST_CASE("a collective that fails ends both halves, and so does a half that fails by itself") {
    for (const std::size_t at : {1U, 2U, 3U}) {
        Noted noted;
        noted.fails_at = at;
        Overlap halves(noted);
        CHECK(halves.run([](std::size_t half, LayerCollective& collective) {
            Views theirs;
            Status s = Status::ok;
            while (s == Status::ok) s = collective.all_gather(named(half), theirs);
            return s;
        }) == Status::timed_out);
        CHECK(noted.calls.size() == at);
    }
    for (const std::size_t fails : {0U, 1U}) {
        Noted noted;
        Overlap halves(noted);
        CHECK(halves.run([&](std::size_t half, LayerCollective& collective) {
            Views theirs;
            Status s = collective.all_gather(named(half), theirs);
            if (half == fails) return Status::malformed;
            while (s == Status::ok) s = collective.all_gather(named(half), theirs);
            return s;
        }) == Status::malformed);
    }
}

TEST_CASE("what a half throws is thrown once both have ended") {
    for (const std::size_t throws : {0U, 1U}) {
        Noted noted;
        Overlap halves(noted);
        const Overlap::Half half = [&](std::size_t which, LayerCollective& collective) {
            Views theirs;
            Status s = collective.all_gather(named(which), theirs);
            if (which == throws) throw std::runtime_error("no weights");
            while (s == Status::ok) s = collective.all_gather(named(which), theirs);
            return s;
        };
        CHECK_THROWS_WITH_AS(static_cast<void>(halves.run(half)), "no weights", std::runtime_error);
    }
}

TEST_CASE("steps in halves give the bits of steps in one") {
    struct Case {
        const char* architecture;
        const char* type;
        std::uint32_t devices;
        std::uint32_t scatter_rows = 0;
        bool shares_rows = false;
        std::uint64_t whole_bytes = UINT64_MAX;
    };
    for (const Case& c : {Case{"llama", "q4_0", 2}, Case{"qwen3", "q8_0", 3, 5},
                          // Of 31 rows one half has as many as go in two hops, and the other not.
                          Case{"llama", "q8_0", 3, 16}, Case{"qwen3moe", "f32", 3},
                          Case{"qwen2", "q4_k_m", 2, 0, true}, Case{"qwen3moe", "q8_0", 3, 7, true},
                          // Layers are read again and again.
                          Case{"llama", "q4_0", 3, 0, true, 1}}) {
        CAPTURE(c.architecture);
        CAPTURE(c.shares_rows);
        ModelShape shape;
        shape.architecture = c.architecture;
        shape.type = c.type;
        shape.dim = 256;
        shape.n_heads = 8;
        shape.n_kv_heads = 4;
        shape.head_dim = 32;
        if (shape.architecture == "qwen3moe") shape.n_experts = 4;
        const TemporaryFolder folder;
        make_model(shape, folder.folder / "model.gguf");
        const model::GgufFile file(folder.folder / "model.gguf");
        ClusterOptions plain = options(c.devices, 32);
        plain.exec.scatter_rows = c.scatter_rows;
        if (c.shares_rows) {
            plain.exec.sequence_rows = 1;
            plain.whole_bytes = c.whole_bytes;
            for (std::uint32_t r = 0; r < c.devices; ++r) plain.row_shares.push_back(r % 3);
        }
        LocalCluster whole(file, plain), halves(file, in_halves(plain));
        // One half and both, odd numbers, a last step that is small, an end in the first half.
        for (const std::size_t length :
             by_speed<std::vector<std::size_t>>({16, 17, 31, 81}, {31})) {
            CAPTURE(length);
            // Not as the one before begins: blocks of the cache may still hold that.
            const auto longer = text_of(2 * length);
            const std::vector<std::int32_t> prompt(longer.begin() + static_cast<long>(length),
                                                   longer.end());
            const auto expected = whole.generate(prompt, 3, {}, true);
            CHECK(halves.generate(prompt, 3, {}, true).logits == expected.logits);
        }
        // Outputs in both halves, of several sequences.
        std::vector<std::vector<std::int32_t>> prompts;
        for (const std::size_t length : {9U, 3U, 12U, 5U, 1U}) prompts.push_back(text_of(length));
        CHECK(halves.generate_together(prompts, 3, {}) == whole.generate_together(prompts, 3, {}));
    }
}

TEST_CASE("steps in halves say nothing of a device's speed, and their buffers are counted") {
    const TemporaryFolder folder;
    make_model(ModelShape(), folder.folder / "model.gguf");
    const model::GgufFile file(folder.folder / "model.gguf");
    const ClusterOptions plain = options(2, 32);
    LocalCluster cluster(file, in_halves(plain));
    cluster.generate(text_of(48), 4, {});
    // The prompt's second step, of as many rows as a half has, and three of one token each.
    for (std::uint32_t r = 0; r < 2; ++r) CHECK(cluster.judged_steps(r) == 4);

    const auto bytes = [&](const ClusterOptions& o) {
        return exec::Executor::buffer_bytes(cluster.hparams(), cluster.plan()[0], o.exec, 1);
    };
    CHECK(bytes(in_halves(plain)) > bytes(plain));
}

}  // namespace overlap_test
}  // namespace shoal::tests
