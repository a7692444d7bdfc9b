// Attention of tiles of rows and heads over blocks of positions.
#include <algorithm>

#include "tests/kernels/support.hpp"

using namespace shoal::kernels;
using namespace shoal::kernels::test;

namespace {

constexpr KvType kKvTypes[] = {KvType::f32, KvType::f16, KvType::q8_0};

/// K and V of one head in one block, as stored and as the numbers that this means. Positions from
/// `filled` on are poison: NaN in every type that has one.
struct Block {
    Block(KvType type_, std::size_t dim_, std::size_t filled, std::uint32_t seed)
        : type(type_),
          dim(dim_),
          keys(random_floats(filled * dim, seed)),
          values(random_floats(filled * dim, seed + 1)),
          k(kv_block_bytes(type, dim), std::byte{0xff}),
          v(kv_block_bytes(type, dim), std::byte{0xff}) {
        for (std::size_t p = 0; p < filled; ++p) {
            for (std::size_t i = 0; i < dim; ++i) {
                store(k.data(), i * kAttendChunk + p, i / kKvScaleElements * kAttendChunk + p,
                      keys[p * dim + i]);
                store(v.data(), p * dim + i, (p * dim + i) / kKvScaleElements, values[p * dim + i]);
            }
        }
    }

    /// Stores one value and replaces it by what was stored. Scales of q8_0 differ from one run of
    /// 32 to the next.
    void store(std::byte* block, std::size_t at, std::size_t scale_at, float& value) const {
        switch (type) {
            case KvType::f32:
                std::memcpy(block + at * 4, &value, 4);
                return;
            case KvType::f16: {
                std::uint16_t half = 0;
                reference().f32_to_f16(&value, &half, 1);
                reference().f16_to_f32(&half, &value, 1);
                std::memcpy(block + at * 2, &half, 2);
                return;
            }
            case KvType::q8_0: {
                float scale = 0.02f + 0.001f * static_cast<float>(scale_at % 11);
                std::uint16_t half = 0;
                reference().f32_to_f16(&scale, &half, 1);
                reference().f16_to_f32(&half, &scale, 1);
                const float q = std::clamp(std::round(value / scale), -128.0f, 127.0f);
                const auto byte = static_cast<std::int8_t>(q);
                std::memcpy(block + at, &byte, 1);
                std::memcpy(block + dim * kAttendChunk + scale_at * 2, &half, 2);
                value = q * scale;
                return;
            }
        }
    }

    KvType type;
    std::size_t dim;
    std::vector<float> keys, values;  // (filled, dim)
    std::vector<std::byte> k, v;
};

/// Inputs and guarded state of one call.
struct Tile {
    Tile(std::size_t dim_, std::size_t group_, std::vector<std::uint32_t> positions_, float spread)
        : dim(dim_),
          group(group_),
          positions(std::move(positions_)),
          q_stride(group * dim + 3),
          q(random_floats(positions.size() * q_stride, 70, spread)),
          max(heads()),
          sum(heads()),
          acc(heads() * dim) {
        for (std::size_t h = 0; h < heads(); ++h) max[h] = -INFINITY;
        for (std::size_t h = 0; h < heads(); ++h) sum[h] = 0;
        for (std::size_t i = 0; i < heads() * dim; ++i) acc[i] = 0;
    }

    std::size_t rows() const { return positions.size(); }
    std::size_t heads() const { return positions.size() * group; }
    const float* query(std::size_t head) const {
        return q.data() + head / group * q_stride + head % group * dim;
    }

    /// Rows [begin, begin + count) over a block of which they see `seen` positions each, or all
    /// that the tile says.
    void run(const Table& table, const Block& block, std::size_t begin, std::size_t count,
             std::uint32_t seen = 0) {
        std::vector<std::uint32_t> limits(positions.begin() + begin,
                                          positions.begin() + begin + count);
        if (seen != 0) limits.assign(count, seen);
        AttendTile tile{};
        tile.q = q.data() + begin * q_stride;
        tile.q_stride = q_stride;
        tile.k = block.k.data();
        tile.v = block.v.data();
        tile.positions = limits.data();
        tile.rows = count;
        tile.group = group;
        tile.head_dim = dim;
        tile.scale = scale;
        tile.max = max.data() + begin * group;
        tile.sum = sum.data() + begin * group;
        tile.acc = acc.data() + begin * group * dim;
        table.attend_for(block.type)(tile);
    }
    void run(const Table& table, const Block& block) { run(table, block, 0, rows()); }

    bool equals(Tile& other) {
        return same_bits(max.data(), other.max.data(), heads()) &&
               same_bits(sum.data(), other.sum.data(), heads()) &&
               same_bits(acc.data(), other.acc.data(), heads() * dim);
    }

    std::size_t dim, group;
    std::vector<std::uint32_t> positions;
    std::size_t q_stride;
    std::vector<float> q;
    float scale = 0.18f;
    Guarded<float> max, sum, acc;
};

/// One head against the exact numbers, when `steps` blocks were added to its state. Bounds as
/// derived in kernels/NUMERICS.md#attend.
void check_head(Tile& t, std::size_t head, const std::vector<const float*>& keys,
                const std::vector<const float*>& values, std::size_t steps) {
    const float* q = t.query(head);
    const std::size_t n = keys.size();
    const auto dim = static_cast<double>(t.dim);
    const double scale = static_cast<double>(t.scale);
    std::vector<double> scores(n);
    double largest = -INFINITY;
    double score_error = 0;
    for (std::size_t p = 0; p < n; ++p) {
        double magnitude = 0;
        for (std::size_t i = 0; i < t.dim; ++i) {
            const double term = static_cast<double>(q[i]) * static_cast<double>(keys[p][i]);
            scores[p] += term;
            magnitude += std::fabs(term);
        }
        largest = std::max(largest, scores[p]);
        score_error = std::max(score_error, dim * kEpsilon * magnitude);
    }
    const double max = static_cast<double>(t.max[head]);
    REQUIRE(std::fabs(max - largest) <= score_error);
    double sum = 0;
    double farthest = 0;
    for (std::size_t p = 0; p < n; ++p) {
        sum += std::exp2((scores[p] - max) * scale);
        farthest = std::max(farthest, std::fabs(scores[p] - max) * scale);
    }
    // A weight is off by its score's error, two roundings of the exponent and those of 2^x. Each
    // further block scales it once more; what is subtracted in the exponents adds up to no more.
    const double exponent = scale * score_error + 2 * kEpsilon * std::min(farthest, 128.0);
    const double weight_error =
        1.01 * (std::log(2.0) * exponent + 3 * static_cast<double>(steps) * kEpsilon);
    const double tiny = static_cast<double>(n) * 0x1p-120;  // weights flushed to zero
    const double roundings = static_cast<double>(n + steps) * kEpsilon;
    REQUIRE(std::fabs(static_cast<double>(t.sum[head]) - sum) <=
            (weight_error + roundings) * sum + tiny);
    for (std::size_t i = 0; i < t.dim; ++i) {
        double acc = 0;
        double magnitude = 0;
        for (std::size_t p = 0; p < n; ++p) {
            const double term =
                std::exp2((scores[p] - max) * scale) * static_cast<double>(values[p][i]);
            acc += term;
            magnitude += std::fabs(term);
        }
        const double got = static_cast<double>(t.acc[head * t.dim + i]);
        REQUIRE(std::fabs(got - acc) <= (weight_error + roundings) * magnitude + 8 * tiny);
    }
}

/// Every head of a tile that has met one block.
void check_tile(Tile& t, const Block& block) {
    CHECK((t.max.intact() && t.sum.intact() && t.acc.intact()));
    for (std::size_t h = 0; h < t.heads(); ++h) {
        std::vector<const float*> keys;
        std::vector<const float*> values;
        for (std::size_t p = 0; p < t.positions[h / t.group]; ++p) {
            keys.push_back(&block.keys[p * t.dim]);
            values.push_back(&block.values[p * t.dim]);
        }
        check_head(t, h, keys, values, 1);
    }
}

std::size_t longest(const std::vector<std::uint32_t>& positions) {
    return *std::max_element(positions.begin(), positions.end());
}

/// Rows as a prompt has them: one position more in each.
std::vector<std::uint32_t> ascending(std::uint32_t first, std::size_t rows) {
    std::vector<std::uint32_t> positions;
    for (std::size_t r = 0; r < rows; ++r) {
        positions.push_back(
            std::min(first + static_cast<std::uint32_t>(r), std::uint32_t{kAttendChunk}));
    }
    return positions;
}

}  // namespace

TEST_SUITE_BEGIN("attend");

TEST_CASE("one row of attention lies within its bound for awkward shapes") {
    for (const KvType type : kKvTypes) {
        for (const std::size_t dim : {1, 5, 8, 16, 20, 32, 64, 80, 96, 128, 160, 256}) {
            if (!kv_head_dim_fits(type, dim)) continue;
            for (const std::uint32_t positions : {1U, 2U, 7U, 8U, 9U, 16U, 17U, 65U, 127U, 128U}) {
                const std::size_t group = 1 + (dim + positions) % 7;
                const Block block(type, dim, positions, 71);
                CAPTURE(name(type));
                CAPTURE(dim);
                CAPTURE(positions);
                CAPTURE(group);
                for (const Table* table : all_tables()) {
                    CAPTURE(label(table));
                    Tile tile(dim, group, {positions}, 1.0f);
                    tile.run(*table, block);
                    check_tile(tile, block);
                }
            }
        }
    }
}

TEST_CASE("tiles of rows see the positions that are theirs") {
    const std::vector<std::vector<std::uint32_t>> limits = {
        ascending(1, 9),     ascending(60, 9), ascending(122, 12), {128, 128, 128, 128, 128},
        {5, 128, 1, 77, 64}, {33, 32, 31, 30}, ascending(1, 24)};
    for (const KvType type : kKvTypes) {
        for (const std::size_t dim : {20, 64, 84, 160}) {
            if (!kv_head_dim_fits(type, dim)) continue;
            for (const auto& positions : limits) {
                for (const std::size_t group : {1, 3, 4}) {
                    const Block block(type, dim, longest(positions), 75);
                    CAPTURE(name(type));
                    CAPTURE(dim);
                    CAPTURE(positions[0]);
                    CAPTURE(group);
                    for (const Table* table : all_tables()) {
                        CAPTURE(label(table));
                        Tile tile(dim, group, positions, 1.0f);
                        tile.run(*table, block);
                        check_tile(tile, block);
                    }
                }
            }
        }
    }
}

TEST_CASE("every number of heads up to the limit works") {
    for (const KvType type : kKvTypes) {
        const Block block(type, 32, 37, 77);
        for (std::size_t rows = 1; rows <= kMaxTileHeads; ++rows) {
            CAPTURE(name(type));
            CAPTURE(rows);
            for (const Table* table : isa_tables()) {
                CAPTURE(label(table));
                Tile tile(32, 1, ascending(1, rows), 1.0f);
                for (auto& p : tile.positions) p = std::min(p, 37U);
                tile.run(*table, block);
                check_tile(tile, block);
            }
        }
    }
}

TEST_CASE("a softmax runs through several blocks") {
    for (const KvType type : kKvTypes) {
        for (const std::size_t rows : {1, 7}) {
            CAPTURE(name(type));
            CAPTURE(rows);
            std::vector<Block> blocks;
            for (std::uint32_t b = 0; b < 4; ++b) blocks.emplace_back(type, 64, 128, 80 + 2 * b);
            for (const Table* table : all_tables()) {
                CAPTURE(label(table));
                Tile tile(64, 3, ascending(40, rows), 2.0f);
                for (std::size_t b = 0; b + 1 < blocks.size(); ++b) {
                    tile.run(*table, blocks[b], 0, rows, 128);
                }
                tile.run(*table, blocks.back());
                for (std::size_t h = 0; h < tile.heads(); ++h) {
                    std::vector<const float*> keys;
                    std::vector<const float*> values;
                    for (std::size_t b = 0; b < blocks.size(); ++b) {
                        const std::size_t n = b + 1 < blocks.size() ? 128 : 40 + h / 3;
                        for (std::size_t p = 0; p < n; ++p) {
                            keys.push_back(&blocks[b].keys[p * 64]);
                            values.push_back(&blocks[b].values[p * 64]);
                        }
                    }
                    check_head(tile, h, keys, values, blocks.size());
                }
            }
        }
    }
}

TEST_CASE("sharp distributions neither overflow nor lose the largest weight") {
    for (const KvType type : kKvTypes) {
        const Block block(type, 64, 100, 85);
        for (const Table* table : all_tables()) {
            CAPTURE(label(table));
            Tile tile(64, 4, {100}, 200.0f);
            tile.run(*table, block);
            check_tile(tile, block);
            for (std::size_t h = 0; h < 4; ++h) CHECK(tile.sum[h] >= 1.0f);
        }
    }
}

TEST_CASE("a head's numbers do not depend on what else is in the call") {
    for (const KvType type : kKvTypes) {
        for (const std::size_t dim : {20, 64, 128, 160}) {
            if (!kv_head_dim_fits(type, dim)) continue;
            for (const std::size_t group : {1, 4, 7}) {
                const auto positions = ascending(121, 12);
                const Block block(type, dim, 128, 87);
                CAPTURE(name(type));
                CAPTURE(dim);
                CAPTURE(group);
                for (const Table* table : all_tables()) {
                    CAPTURE(label(table));
                    Tile whole(dim, group, positions, 3.0f);
                    Tile rows(dim, group, positions, 3.0f);
                    whole.run(*table, block, 0, 12, 128);
                    whole.run(*table, block);
                    for (std::size_t r = 0; r < 12; ++r) {
                        rows.run(*table, block, r, 1, 128);
                        rows.run(*table, block, r, 1);
                    }
                    CHECK(whole.equals(rows));
                    // One head of the group alone, which another tile of heads computes.
                    Tile alone(dim, 1, {positions[5]}, 1.0f);
                    for (std::size_t g = 0; g < group; ++g) {
                        std::copy_n(whole.query(5 * group + g), dim, alone.q.begin());
                        alone.max[0] = -INFINITY;
                        alone.sum[0] = 0;
                        for (std::size_t i = 0; i < dim; ++i) alone.acc[i] = 0;
                        alone.run(*table, block, 0, 1, 128);
                        alone.run(*table, block);
                        const std::size_t h = 5 * group + g;
                        CHECK(same_bits(&alone.sum[0], &whole.sum[h], 1));
                        CHECK(same_bits(alone.acc.data(), &whole.acc[h * dim], dim));
                    }
                }
            }
        }
    }
}

TEST_CASE("a NaN in one query shows in its own head and no other") {
    for (const KvType type : kKvTypes) {
        for (const std::size_t rows : {1, 3}) {
            const Block block(type, 64, 22, 89);
            for (const Table* table : all_tables()) {
                CAPTURE(label(table));
                Tile tile(64, 6, ascending(20, rows), 1.0f);
                tile.q[2 * 64 + 5] = NAN;
                tile.run(*table, block);
                tile.run(*table, block);
                for (std::size_t h = 0; h < tile.heads(); ++h) {
                    CHECK(std::isnan(tile.sum[h]) == (h == 2));
                    CHECK(std::isnan(tile.acc[h * 64]) == (h == 2));
                }
            }
        }
    }
}

TEST_CASE("a NaN in a later position does not reach the rows before it") {
    for (const KvType type : {KvType::f32, KvType::f16}) {
        Block block(type, 64, 30, 91);
        const std::size_t width = type == KvType::f32 ? 4 : 2;
        for (std::size_t i = 0; i < 64; ++i) {
            std::memset(block.k.data() + (i * kAttendChunk + 25) * width, 0xff, width);
            std::memset(block.v.data() + (25 * 64 + i) * width, 0xff, width);
        }
        for (const Table* table : all_tables()) {
            CAPTURE(label(table));
            Tile tile(64, 2, ascending(20, 11), 1.0f);
            tile.run(*table, block);
            for (std::size_t h = 0; h < tile.heads(); ++h) {
                const bool sees = tile.positions[h / 2] > 25;
                CHECK(std::isnan(tile.sum[h]) == sees);
                CHECK(std::isnan(tile.acc[h * 64 + 63]) == sees);
            }
        }
    }
}

TEST_SUITE_END();
