// Norm, rotation, activation and residual addition.
#include <algorithm>
#include <numeric>

#include "tests/kernels/support.hpp"

using namespace shoal::kernels;
using namespace shoal::kernels::test;

namespace {

constexpr std::size_t kLengths[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 64, 100, 1023};

}  // namespace

TEST_SUITE_BEGIN("ops");

TEST_CASE("rms_norm is within three roundings of the exact value") {
    for (const std::size_t n : kLengths) {
        CAPTURE(n);
        const auto x = random_floats(n, 40, 3.0f);
        const auto w = random_floats(n, 41);
        double squares = 0;
        for (const float v : x) squares += static_cast<double>(v) * v;
        const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-5f);
        for (const Table* table : all_tables()) {
            CAPTURE(label(table));
            Guarded<float> out(n);
            table->rms_norm(x.data(), w.data(), out.data(), n, 1e-5f);
            CHECK(out.intact());
            for (std::size_t i = 0; i < n; ++i) {
                const double expected = x[i] * scale * w[i];
                REQUIRE(std::fabs(out[i] - expected) <= 3.01 * kEpsilon * std::fabs(expected));
            }
        }
    }
}

TEST_CASE("rms_norm is bit-equal on all ISAs and may write over its input") {
    for (const std::size_t n : kLengths) {
        CAPTURE(n);
        const auto x = random_floats(n, 42, 1e3f);
        const auto w = random_floats(n, 43);
        std::vector<float> expected(n);
        reference().rms_norm(x.data(), w.data(), expected.data(), n, 1e-6f);
        for (const Table* table : all_tables()) {
            CAPTURE(label(table));
            auto in_place = x;
            table->rms_norm(in_place.data(), w.data(), in_place.data(), n, 1e-6f);
            CHECK(same_bits(in_place.data(), expected.data(), n));
        }
    }
}

TEST_CASE("rope turns each pair by its angle and leaves the rest alone") {
    for (const RopeKind kind : {RopeKind::interleaved, RopeKind::half_split}) {
        for (const std::size_t head_dim : {2, 6, 16, 22, 64, 80, 128}) {
            for (const std::size_t rot : {head_dim, head_dim / 4 * 2}) {
                CAPTURE(head_dim);
                CAPTURE(rot);
                const std::size_t heads = 3;
                const auto x = random_floats(heads * head_dim, 50);
                std::vector<float> cos(rot / 2), sin(rot / 2);
                for (std::size_t i = 0; i < rot / 2; ++i) {
                    const float angle = 0.1f + 1.7f * static_cast<float>(i);
                    cos[i] = std::cos(angle), sin[i] = std::sin(angle);
                }
                auto expected = x;
                for (std::size_t h = 0; h < heads; ++h) {
                    for (std::size_t i = 0; i < rot / 2; ++i) {
                        const bool pairs = kind == RopeKind::interleaved;
                        const std::size_t a = h * head_dim + (pairs ? 2 * i : i);
                        const std::size_t b = a + (pairs ? 1 : rot / 2);
                        // Two products and a sum, each rounded to f32 by itself.
                        const float ac = x[a] * cos[i], bs = x[b] * sin[i];
                        const float as = x[a] * sin[i], bc = x[b] * cos[i];
                        expected[a] = ac - bs;
                        expected[b] = as + bc;
                    }
                }
                for (const Table* table : all_tables()) {
                    CAPTURE(label(table));
                    Guarded<float> out(x.size());
                    std::copy(x.begin(), x.end(), out.data());
                    table->rope(out.data(), heads, head_dim, rot, kind, cos.data(), sin.data());
                    CHECK(out.intact());
                    CHECK(same_bits(out.data(), expected.data(), x.size()));
                }
            }
        }
    }
}

TEST_CASE("silu_mul is within its bound over the whole range") {
    std::vector<float> gate;
    for (float g = -120.0f; g <= 120.0f; g += 0.0137f) gate.push_back(g);
    for (const float g : {0.0f, -0.0f, 1e-30f, -1e-30f, 87.3f, -87.3f, -87.4f, -88.73f, 88.8f,
                          -103.9f, -104.1f, 1e30f, -1e30f, 3e38f, -3e38f}) {
        gate.push_back(g);
    }
    const auto up = random_floats(gate.size(), 60);
    for (const Table* table : all_tables()) {
        CAPTURE(label(table));
        Guarded<float> out(gate.size());
        table->silu_mul(gate.data(), up.data(), out.data(), gate.size());
        CHECK(out.intact());
        for (std::size_t i = 0; i < gate.size(); ++i) {
            CAPTURE(gate[i]);
            const double g = gate[i];
            const double expected = g / (1 + std::exp(-g)) * up[i];
            // exp within 1.5, then a sum, a quotient and two products; below -87.3 the result is
            // under 2^-119 and only that much is promised.
            REQUIRE(std::fabs(out[i] - expected) <= 6 * kEpsilon * std::fabs(expected) + 0x1p-115);
        }
    }
}

TEST_CASE("silu_mul and add take any length, in place too") {
    for (const std::size_t n : kLengths) {
        CAPTURE(n);
        const auto a = random_floats(n, 61);
        const auto b = random_floats(n, 62);
        for (const Table* table : all_tables()) {
            CAPTURE(label(table));
            Guarded<float> out(n), gate(n), up(n), sum(n);
            std::copy(a.begin(), a.end(), gate.data());
            std::copy(b.begin(), b.end(), up.data());
            std::copy(a.begin(), a.end(), sum.data());
            table->silu_mul(a.data(), b.data(), out.data(), n);
            table->silu_mul(gate.data(), b.data(), gate.data(), n);
            table->silu_mul(a.data(), up.data(), up.data(), n);
            table->add(sum.data(), b.data(), n);
            CHECK((out.intact() && gate.intact() && up.intact() && sum.intact()));
            CHECK(same_bits(out.data(), gate.data(), n));
            CHECK(same_bits(out.data(), up.data(), n));
            for (std::size_t i = 0; i < n; ++i) REQUIRE(sum[i] == a[i] + b[i]);
            // An element's result depends on its own inputs, not on where in the call it stands.
            for (std::size_t i = 0; i < n; ++i) {
                float alone = 0;
                table->silu_mul(&a[i], &b[i], &alone, 1);
                REQUIRE(bits_of(alone) == bits_of(out[i]));
            }
        }
    }
}

TEST_CASE("NaN goes through and nothing crashes on infinities") {
    const std::vector<float> gate = {NAN, INFINITY, -INFINITY, 1, 2, 3, 4, 5, NAN};
    const std::vector<float> up(gate.size(), 1.0f);
    for (const Table* table : all_tables()) {
        CAPTURE(label(table));
        std::vector<float> out(gate.size());
        table->silu_mul(gate.data(), up.data(), out.data(), gate.size());
        CHECK(std::isnan(out[0]));
        CHECK(std::isnan(out[8]));
        CHECK(out[1] == INFINITY);
        for (std::size_t i = 3; i < 8; ++i) CHECK(std::isfinite(out[i]));
        table->rms_norm(gate.data(), up.data(), out.data(), gate.size(), 1e-5f);
        CHECK(std::isnan(out[3]));
    }
}

TEST_SUITE_END();
