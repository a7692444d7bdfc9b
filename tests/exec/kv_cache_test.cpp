#include "daemon/exec/kv_cache.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "tests/instrumented.hpp"

namespace shoal::exec {
namespace {

constexpr std::uint32_t kBlock = KvCache::kBlockPositions;
const KvShape kShape{2, 3, 16, kernels::KvType::f16};

float half(const std::byte* at) {
    std::uint16_t bits = 0;
    float value = 0;
    std::memcpy(&bits, at, sizeof bits);
    kernels::reference().f16_to_f32(&bits, &value, 1);
    return value;
}

// One value of a block, at `index` in the order of its type, with its scale at `scale`.
float stored(const KvCache& cache, const std::byte* block, std::size_t index, std::size_t scale) {
    float value = 0;
    switch (cache.shape().type) {
        case kernels::KvType::f32:
            std::memcpy(&value, block + index * 4, sizeof value);
            return value;
        case kernels::KvType::f16:
            return half(block + index * 2);
        case kernels::KvType::q8_0:
            return static_cast<float>(static_cast<std::int8_t>(block[index])) *
                   half(block + std::size_t{kBlock} * cache.shape().head_dim + scale * 2);
    }
    return value;
}

// Of layer 1 and head 1 in block 1.
float stored_k(const KvCache& cache, std::size_t position, std::size_t i) {
    return stored(cache, cache.k(1, 1, 1), i * kBlock + position, i / 32 * kBlock + position);
}

float stored_v(const KvCache& cache, std::size_t position, std::size_t i) {
    const std::size_t at = position * cache.shape().head_dim + i;
    return stored(cache, cache.v(1, 1, 1), at, at / 32);
}

}  // namespace

TEST_CASE("a cache has blocks for its positions, rounded up") {
    CHECK(KvCache(kShape, 1).capacity_blocks() == 1);
    CHECK(KvCache(kShape, kBlock).capacity_blocks() == 1);
    const KvCache cache(kShape, kBlock + 1);
    CHECK(cache.capacity_blocks() == 2);
    CHECK(cache.bytes() == 2ULL * 2 * 3 * 16 * (2 * kBlock) * 2);
}

TEST_CASE("an element takes 4, 2 or 34/32 bytes") {
    const auto bytes = [](kernels::KvType type) {
        return KvCache({2, 3, 64, type}, 2 * kBlock).bytes();
    };
    const std::uint64_t elements = 2ULL * 2 * 3 * 64 * 2 * kBlock;
    CHECK(bytes(kernels::KvType::f32) == elements * 4);
    CHECK(bytes(kernels::KvType::f16) == elements * 2);
    CHECK(bytes(kernels::KvType::q8_0) == elements * 34 / 32);
}

TEST_CASE("what is stored lies where the kernels look for it") {
    const kernels::Table& table = kernels::reference();
    const std::uint32_t dim = 64;
    const std::size_t stride = 70;
    // Runs of awkward lengths and places, one of them longer than a tile of rows.
    const std::size_t runs[][2] = {{0, 1}, {1, 2}, {5, 33}, {127, 1}, {40, 16}};
    for (const auto type : {kernels::KvType::f32, kernels::KvType::f16, kernels::KvType::q8_0}) {
        KvCache cache({2, 2, dim, type}, 2 * kBlock);
        REQUIRE(cache.reserve(1, 0, 2 * kBlock));
        std::vector<float> k(kBlock * stride);
        std::vector<float> v(kBlock * stride);
        for (std::size_t i = 0; i < k.size(); ++i) {
            k[i] = static_cast<float>((i * 37) % 255) - 127;
            v[i] = static_cast<float>((i * 91) % 255) - 127;
        }
        for (const auto& run : runs) {
            CAPTURE(kernels::name(type));
            CAPTURE(run[0]);
            cache.store_k(table, 1, 1, 1, run[0], run[1], &k[run[0] * stride], stride);
            cache.store_v(table, 1, 1, 1, run[0], run[1], &v[run[0] * stride], stride);
            for (std::size_t p = run[0]; p < run[0] + run[1]; ++p) {
                for (std::size_t i = 0; i < dim; ++i) {
                    // A scale of q8_0 is largest / 127 as f16: half a step and its rounding.
                    const float off = type == kernels::KvType::q8_0 ? 0.6F : 0.0F;
                    CHECK(std::abs(stored_k(cache, p, i) - k[p * stride + i]) <= off);
                    CHECK(std::abs(stored_v(cache, p, i) - v[p * stride + i]) <= off);
                }
            }
        }
        // Nothing else was touched.
        CHECK(stored_k(cache, 38, 3) == 0);
        CHECK(stored_v(cache, 126, 0) == 0);
        CHECK(*cache.k(1, 1, 0) == std::byte{0});
        CHECK(*cache.k(1, 0, 1) == std::byte{0});
    }
}

TEST_CASE("sequences take blocks as they grow and give them back") {
    KvCache cache(kShape, 4 * kBlock);
    REQUIRE(cache.reserve(7, 0, 1));
    CHECK(cache.used_blocks() == 1);
    REQUIRE(cache.reserve(7, 1, kBlock));
    CHECK(cache.used_blocks() == 1);
    REQUIRE(cache.reserve(7, kBlock, kBlock + 1));
    REQUIRE(cache.reserve(8, 0, 2 * kBlock));
    CHECK(cache.used_blocks() == 4);
    CHECK_FALSE(cache.reserve(9, 0, 1));
    cache.release(7);
    cache.release(7);
    cache.release(1234);
    CHECK(cache.used_blocks() == 2);
    CHECK(cache.reserve(9, 0, 1));
}

TEST_CASE("no two heads, layers or blocks share memory") {
    KvCache cache(kShape, 2 * kBlock);
    REQUIRE(cache.reserve(1, 0, 2 * kBlock));
    std::uint8_t mark = 0;
    const std::size_t bytes = cache.head_bytes();
    const auto each = [&](auto&& visit) {
        for (const std::uint32_t block : cache.blocks(1)) {
            for (std::uint32_t layer = 0; layer < kShape.layers; ++layer) {
                for (std::uint32_t head = 0; head < kShape.kv_heads; ++head) {
                    visit(cache.k(block, layer, head));
                    visit(cache.v(block, layer, head));
                }
            }
        }
    };
    each([&](std::byte* p) { std::memset(p, ++mark, bytes); });
    mark = 0;
    each([&](const std::byte* p) {
        ++mark;
        bool whole = true;
        for (std::size_t i = 0; i < bytes; ++i) whole &= p[i] == std::byte{mark};
        CHECK(whole);
    });
}

TEST_CASE("a fork shares its blocks until one side writes") {
    KvCache cache(kShape, 4 * kBlock);
    REQUIRE(cache.reserve(1, 0, kBlock + 10));
    std::memset(cache.k(cache.blocks(1)[1], 0, 0), 0x11, 32);
    REQUIRE(cache.fork(1, 2, kBlock + 10));
    CHECK(cache.used_blocks() == 2);
    CHECK(cache.blocks(1)[1] == cache.blocks(2)[1]);

    REQUIRE(cache.reserve(2, kBlock + 10, kBlock + 11));
    CHECK(cache.used_blocks() == 3);
    CHECK(cache.blocks(1)[0] == cache.blocks(2)[0]);
    CHECK(cache.blocks(1)[1] != cache.blocks(2)[1]);
    CHECK(*cache.k(cache.blocks(2)[1], 0, 0) == std::byte{0x11});

    cache.release(1);
    CHECK(cache.used_blocks() == 2);
    CHECK_FALSE(cache.fork(1, 3, 1));           // gone
    CHECK_FALSE(cache.fork(2, 2, 1));           // exists
    CHECK_FALSE(cache.fork(2, 3, 3 * kBlock));  // longer than its source
}

namespace {

// A cache of which all is known that was written into it: a number for each position.
struct Shadowed {
    static constexpr std::uint32_t kBlocks = 12;
    KvCache cache{{1, 1, 4, kernels::KvType::f32}, kBlocks* kBlock};
    std::map<SequenceId, std::vector<std::uint32_t>> written;
    std::uint32_t next_value = 1;

    std::byte* at(SequenceId id, std::size_t position) const {
        const std::uint32_t block = cache.blocks(id)[position / kBlock];
        return cache.v(block, 0, 0) + position % kBlock * 16;
    }
    // As a step does: room for all rows, then what they write.
    bool write(SequenceId id, std::uint32_t count) {
        auto& numbers = written[id];
        const auto begin = static_cast<std::uint32_t>(numbers.size());
        if (!cache.reserve(id, begin, begin + count)) return false;
        for (std::uint32_t i = 0; i < count; ++i) {
            numbers.push_back(next_value++);
            std::memcpy(at(id, begin + i), &numbers.back(), 4);
        }
        return true;
    }
    bool intact() const {
        std::set<std::uint32_t> used;
        for (const auto& [id, numbers] : written) {
            for (std::size_t p = 0; p < numbers.size(); ++p) {
                std::uint32_t value = 0;
                std::memcpy(&value, at(id, p), 4);
                if (value != numbers[p]) return false;
            }
            const auto blocks = cache.blocks(id);
            used.insert(blocks.begin(), blocks.end());
        }
        return cache.used_blocks() == used.size();
    }
};

}  // namespace

TEST_CASE(
    "whatever is written, forked and released, nobody's numbers change and no block is lost") {
    using tests::by_speed;
    for (std::uint64_t seed = 1; seed <= by_speed(3000U, 200U); ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        const auto below = [&](std::size_t n) { return static_cast<std::uint32_t>(random() % n); };
        Shadowed s;
        SequenceId next = 1;
        for (int i = 0; i < 40; ++i) {
            const SequenceId id = 1 + below(next);
            const bool known = s.written.contains(id);
            const std::uint32_t what = below(8);
            if (what < 2 || s.written.empty()) {
                static_cast<void>(s.write(next++, 1 + below(3 * kBlock)));
            } else if (what < 5 && known) {
                static_cast<void>(s.write(id, 1 + below(what == 2 ? 2 * kBlock : 20)));
            } else if (what < 7 && known) {
                const auto& from = s.written[id];
                const std::uint32_t positions = below(from.size() + 1);
                REQUIRE(s.cache.fork(id, next, positions));
                s.written[next++] = {from.begin(), from.begin() + positions};
            } else {
                s.cache.release(id);
                s.written.erase(id);
            }
            REQUIRE(s.intact());
        }
        for (const auto& [id, numbers] : s.written) s.cache.release(id);
        CHECK(s.cache.used_blocks() == 0);
    }
}

TEST_CASE("a device without KV heads keeps the books without memory") {
    KvCache cache({2, 0, 16, kernels::KvType::f32}, 3 * kBlock);
    CHECK(cache.bytes() == 0);
    REQUIRE(cache.reserve(1, 0, kBlock));
    REQUIRE(cache.fork(1, 2, kBlock));
    REQUIRE(cache.reserve(2, 0, 1));
    CHECK(cache.used_blocks() == 2);
}

}  // namespace shoal::exec
