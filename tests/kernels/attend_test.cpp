// Attention over one chunk of positions.
#include <algorithm>

#include "tests/kernels/support.hpp"

using namespace shoal::kernels;
using namespace shoal::kernels::test;

namespace {

/// Inputs and guarded outputs of one call; poison between the positions of K and V.
struct Attention {
    Attention(KvType type_, std::size_t group_, std::size_t dim_, std::size_t positions_,
              float spread)
        : type(type_),
          group(group_),
          dim(dim_),
          positions(positions_),
          q(random_floats(group * dim, 70, spread)),
          k_values(rounded(random_floats(positions * dim, 71))),
          v_values(rounded(random_floats(positions * dim, 72))),
          stride(dim * width() + 6),
          max(group),
          sum(group),
          acc(group * dim) {
        k = stored(k_values);
        v = stored(v_values);
    }

    std::size_t width() const { return type == KvType::f32 ? 4 : 2; }

    std::vector<float> rounded(std::vector<float> x) const {
        if (type == KvType::f32) return x;
        std::vector<std::uint16_t> half(x.size());
        reference().f32_to_f16(x.data(), half.data(), x.size());
        reference().f16_to_f32(half.data(), x.data(), x.size());
        return x;
    }

    std::vector<std::byte> stored(const std::vector<float>& x) const {
        std::vector<std::byte> bytes((positions - 1) * stride + dim * width(), std::byte{0xff});
        for (std::size_t p = 0; p < positions; ++p) {
            quantize(type == KvType::f32 ? DType::f32 : DType::f16, &x[p * dim],
                     bytes.data() + p * stride, dim);
        }
        return bytes;
    }

    /// Runs heads [begin, begin + count).
    void run(const Table& table, std::size_t begin, std::size_t count) {
        const AttendChunk chunk{q.data() + begin * dim,
                                k.data(),
                                v.data(),
                                stride,
                                count,
                                dim,
                                positions,
                                scale,
                                max.data() + begin,
                                sum.data() + begin,
                                acc.data() + begin * dim};
        (type == KvType::f32 ? table.attend_f32 : table.attend_f16)(chunk);
    }

    KvType type;
    std::size_t group, dim, positions;
    std::vector<float> q, k_values, v_values;
    std::size_t stride;
    std::vector<std::byte> k, v;
    float scale = 0.125f;
    Guarded<float> max, sum, acc;
};

/// Every number against the exact one. Bounds as derived in kernels/NUMERICS.md#attend.
void check_attention(Attention& a, const Table& table) {
    a.run(table, 0, a.group);
    CHECK((a.max.intact() && a.sum.intact() && a.acc.intact()));
    const auto dim = static_cast<double>(a.dim);
    const auto n = static_cast<double>(a.positions);
    for (std::size_t h = 0; h < a.group; ++h) {
        std::vector<double> scores(a.positions);
        double largest = -INFINITY;
        double score_error = 0;
        for (std::size_t p = 0; p < a.positions; ++p) {
            double dot = 0;
            double magnitude = 0;
            for (std::size_t i = 0; i < a.dim; ++i) {
                const double term =
                    static_cast<double>(a.q[h * a.dim + i]) * a.k_values[p * a.dim + i];
                dot += term;
                magnitude += std::fabs(term);
            }
            scores[p] = dot * a.scale;
            largest = std::max(largest, scores[p]);
            score_error = std::max(score_error, (dim / 8 + 6) * kEpsilon * magnitude * a.scale);
        }
        REQUIRE(std::fabs(a.max[h] - largest) <= score_error);
        // Each weight is off by its score's error and the subtraction's and exp's roundings.
        double sum = 0;
        double farthest = 0;
        for (std::size_t p = 0; p < a.positions; ++p) {
            sum += std::exp(scores[p] - a.max[h]);
            farthest = std::max(farthest, std::fabs(scores[p] - a.max[h]));
        }
        const double weight_error =
            1.01 * (score_error + kEpsilon * (std::min(farthest, 88.0) + 4));
        const double tiny = n * 0x1p-120;  // weights that exp flushes to zero
        REQUIRE(std::fabs(a.sum[h] - sum) <= (weight_error + n * kEpsilon) * sum + tiny);
        for (std::size_t i = 0; i < a.dim; ++i) {
            double acc = 0;
            double magnitude = 0;
            for (std::size_t p = 0; p < a.positions; ++p) {
                const double term = std::exp(scores[p] - a.max[h]) * a.v_values[p * a.dim + i];
                acc += term;
                magnitude += std::fabs(term);
            }
            const double bound = (weight_error + (n + 1) * kEpsilon) * magnitude + 8 * tiny;
            REQUIRE(std::fabs(a.acc[h * a.dim + i] - acc) <= bound);
        }
    }
}

}  // namespace

TEST_SUITE_BEGIN("attend");

TEST_CASE("attention lies within its bound for awkward shapes") {
    for (const KvType type : {KvType::f32, KvType::f16}) {
        for (const std::size_t dim : {1, 5, 8, 16, 20, 64, 80, 96, 128, 256}) {
            for (const std::size_t positions : {1, 2, 3, 4, 5, 9, 127, 128}) {
                const std::size_t group = 1 + (dim + positions) % 6;
                CAPTURE(dim);
                CAPTURE(positions);
                CAPTURE(group);
                for (const Table* table : all_tables()) {
                    CAPTURE(label(table));
                    Attention a(type, group, dim, positions, 1.0f);
                    check_attention(a, *table);
                }
            }
        }
    }
}

TEST_CASE("every group size up to the limit works") {
    for (std::size_t group = 1; group <= kMaxGroup; ++group) {
        CAPTURE(group);
        for (const Table* table : all_tables()) {
            CAPTURE(label(table));
            Attention a(KvType::f16, group, 48, 37, 1.0f);
            check_attention(a, *table);
        }
    }
}

TEST_CASE("sharp distributions neither overflow nor lose the largest weight") {
    for (const KvType type : {KvType::f32, KvType::f16}) {
        for (const Table* table : all_tables()) {
            CAPTURE(label(table));
            Attention a(type, 4, 64, 100, 200.0f);
            check_attention(a, *table);
            for (std::size_t h = 0; h < 4; ++h) CHECK(a.sum[h] >= 1.0f);
        }
    }
}

TEST_CASE("a head's numbers do not depend on the group it is computed in") {
    for (const KvType type : {KvType::f32, KvType::f16}) {
        for (const std::size_t dim : {20, 64, 128}) {
            for (const Table* table : all_tables()) {
                CAPTURE(label(table));
                CAPTURE(dim);
                Attention whole(type, 11, dim, 77, 3.0f);
                Attention single(type, 11, dim, 77, 3.0f);
                whole.run(*table, 0, 11);
                for (std::size_t h = 0; h < 11; ++h) single.run(*table, h, 1);
                CHECK(same_bits(whole.max.data(), single.max.data(), 11));
                CHECK(same_bits(whole.sum.data(), single.sum.data(), 11));
                CHECK(same_bits(whole.acc.data(), single.acc.data(), 11 * dim));
            }
        }
    }
}

TEST_CASE("a NaN in one query shows in its own head and no other") {
    for (const Table* table : all_tables()) {
        CAPTURE(label(table));
        Attention a(KvType::f16, 6, 64, 20, 1.0f);
        a.q[2 * 64 + 5] = NAN;
        a.run(*table, 0, 6);
        for (std::size_t h = 0; h < 6; ++h) {
            CHECK(std::isnan(a.sum[h]) == (h == 2));
            CHECK(std::isnan(a.acc[h * 64]) == (h == 2));
        }
    }
}

TEST_SUITE_END();
