#include "daemon/exec/kv_cache.hpp"

#include <doctest/doctest.h>

#include <cstring>

namespace shoal::exec {
namespace {

constexpr std::uint32_t kBlock = KvCache::kBlockPositions;
const KvShape kShape{2, 3, 16, kernels::KvType::f16};

}  // namespace

TEST_CASE("a cache has blocks for its positions, rounded up") {
    CHECK(KvCache(kShape, 1).capacity_blocks() == 1);
    CHECK(KvCache(kShape, kBlock).capacity_blocks() == 1);
    const KvCache cache(kShape, kBlock + 1);
    CHECK(cache.capacity_blocks() == 2);
    CHECK(cache.bytes() == 2ULL * 2 * 3 * 16 * (2 * kBlock) * 2);
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
    const std::size_t bytes = kBlock * cache.position_bytes();
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

TEST_CASE("a device without KV heads keeps the books without memory") {
    KvCache cache({2, 0, 16, kernels::KvType::f32}, 3 * kBlock);
    CHECK(cache.bytes() == 0);
    REQUIRE(cache.reserve(1, 0, kBlock));
    REQUIRE(cache.fork(1, 2, kBlock));
    REQUIRE(cache.reserve(2, 0, 1));
    CHECK(cache.used_blocks() == 2);
}

}  // namespace shoal::exec
