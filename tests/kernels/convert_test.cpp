// Conversions: bit-equal on every ISA, and each by its definition.
#include <algorithm>
#include <array>

#include "kernels/ref/half.hpp"
#include "tests/kernels/support.hpp"

using namespace shoal::kernels;
using namespace shoal::kernels::test;

namespace {

/// An f16 by the definition of binary16; NaN for NaNs.
double half_value(unsigned h) {
    const int exponent = static_cast<int>((h >> 10) & 31);
    const int mantissa = static_cast<int>(h & 1023);
    const double sign = (h & 0x8000) != 0 ? -1 : 1;
    if (exponent == 31) return mantissa != 0 ? NAN : sign * INFINITY;
    if (exponent == 0) return sign * std::ldexp(mantissa, -24);
    return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

std::vector<std::uint16_t> all_halves() {
    std::vector<std::uint16_t> halves(65536);
    for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
    return halves;
}

/// Floats at and around every f16, at and around the ties between neighbours, and random bits.
std::vector<float> telling_floats() {
    std::vector<float> x;
    for (unsigned h = 0; h < 0x7c00; ++h) {
        const auto low = static_cast<float>(half_value(h));
        const auto high = static_cast<float>(h == 0x7bff ? 65536.0 : half_value(h + 1));
        const float tie = low + (high - low) / 2;
        for (const float v : {low, tie}) {
            for (const int step : {-1, 0, 1}) {
                const float near = from_bits(bits_of(v) + static_cast<std::uint32_t>(step));
                if (bits_of(v) != 0 || step >= 0) x.push_back(near), x.push_back(-near);
            }
        }
    }
    std::mt19937 rng(1);
    for (int i = 0; i < 200'003; ++i) x.push_back(from_bits(static_cast<std::uint32_t>(rng())));
    for (const std::uint32_t nan : {0x7f800001u, 0xff800001u, 0x7fc12345u, 0xffffffffu}) {
        x.push_back(from_bits(nan));
    }
    return x;
}

/// Blocks that quantisers find hard: ties, zeros, subnormals, huge values, NaN and infinity.
std::vector<float> telling_blocks() {
    auto x = random_floats(32 * 40, 5);
    const auto block = [&x](std::size_t b) { return x.data() + 32 * b; };
    for (int i = 0; i < 32; ++i) {
        block(1)[i] = static_cast<float>(i) * 0.5f;  // with a maximum of 127 below: ties
        block(2)[i] = 0.0f;
        block(3)[i] = -0.0f;
        block(4)[i] = 0x1p-140f * static_cast<float>(i);  // subnormal
        block(5)[i] = 3e38f * (i % 2 != 0 ? 1.0f : -0.3f);
        block(6)[i] *= 1e30f;
        block(7)[i] *= 1e-30f;
        block(8)[i] *= 1e-31f;
        block(9)[i] *= 1e7f;
        block(13)[i] *= 1e-6f;
        block(14)[i] *= 1e-7f;
        block(15)[i] *= 4e6f;
        block(16)[i] *= 1e-5f;
    }
    block(1)[31] = 127.0f;
    block(10)[7] = NAN;
    block(11)[31] = INFINITY;
    block(12)[0] = -INFINITY;
    return x;
}

/// Blocks whose values lie as near to half-way between two steps as f32 allows: any difference in
/// how the inverse of the scale is rounded moves one of them to another integer.
std::vector<float> blocks_of_ties() {
    std::vector<float> x;
    for (const float value : random_floats(500, 77)) {
        const float max = std::fabs(value) + 0.01f;
        x.push_back(max);
        for (int i = 1; i < 32; ++i) {
            const double steps = 4 * i - (i % 2 != 0 ? 0.5 : 1.5);
            x.push_back(static_cast<float>(steps * max / 127.0));
        }
    }
    return x;
}

/// Everything that the quantisers must treat alike on all ISAs.
std::vector<float> blocks_to_agree_on() {
    auto x = telling_blocks();
    std::mt19937 rng(9);
    for (int i = 0; i < 32 * 500; ++i) x.push_back(from_bits(static_cast<std::uint32_t>(rng())));
    for (const auto& more : {blocks_of_ties(), random_floats(32 * 2000, 10)}) {
        x.insert(x.end(), more.begin(), more.end());
    }
    return x;
}

bool poisoned(const float* x) {
    return std::any_of(x, x + 32, [](float v) { return !std::isfinite(v); });
}

float magnitude(const float* x) {
    float max = 0;
    for (int i = 0; i < 32; ++i) max = std::max(max, std::fabs(x[i]));
    return max;
}

}  // namespace

TEST_SUITE_BEGIN("convert");

TEST_CASE("every f16 becomes the f32 of its definition") {
    const auto halves = all_halves();
    for (const Table* table : all_tables()) {
        CAPTURE(label(table));
        Guarded<float> out(halves.size());
        table->f16_to_f32(halves.data(), out.data(), halves.size());
        CHECK(out.intact());
        for (unsigned h = 0; h < 65536; ++h) {
            const double expected = half_value(h);
            CAPTURE(h);
            if (std::isnan(expected)) {
                const std::uint32_t sign = (h & 0x8000u) << 16;
                REQUIRE(bits_of(out[h]) == (sign | 0x7fc00000u | (h & 1023u) << 13));
            } else {
                REQUIRE(out[h] == expected);
                REQUIRE(std::signbit(out[h]) == ((h & 0x8000u) != 0));
            }
        }
    }
}

TEST_CASE("f32 becomes the nearest f16, ties to even") {
    const auto x = telling_floats();
    for (const Table* table : all_tables()) {
        CAPTURE(label(table));
        Guarded<std::uint16_t> out(x.size());
        table->f32_to_f16(x.data(), out.data(), x.size());
        CHECK(out.intact());
        for (std::size_t i = 0; i < x.size(); ++i) {
            CAPTURE(x[i]);
            const unsigned h = out[i];
            REQUIRE(std::signbit(x[i]) == ((h & 0x8000u) != 0));
            if (std::isnan(x[i])) {
                REQUIRE((h & 0x7fffu) == (0x7e00u | ((bits_of(x[i]) >> 13) & 1023u)));
                continue;
            }
            // Neither neighbour is nearer, and of two equally near ones the even is taken. The
            // neighbour of the largest f16 counts as 65536, as IEEE 754 has it.
            const double v = std::fabs(x[i]);
            const unsigned m = h & 0x7fffu;
            const auto at = [](unsigned n) { return n == 0x7c00u ? 65536.0 : half_value(n); };
            if (m == 0x7c00u) {
                REQUIRE(v >= 65520.0);
                continue;
            }
            const double miss = std::fabs(v - at(m));
            const double above = std::fabs(v - at(m + 1));
            const double below = m == 0 ? INFINITY : std::fabs(v - at(m - 1));
            REQUIRE(miss <= std::min(above, below));
            if (miss == above || miss == below) REQUIRE(m % 2 == 0);
        }
    }
}

TEST_CASE("16-bit conversions are bit-equal on all ISAs at every length") {
    const auto x = telling_floats();
    for (const Table* table : isa_tables()) {
        CAPTURE(label(table));
        for (const std::size_t n : {0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 33}) {
            Guarded<std::uint16_t> half(n), half_ref(n);
            Guarded<float> back(n), back_ref(n);
            table->f32_to_f16(x.data() + 500, half.data(), n);
            reference().f32_to_f16(x.data() + 500, half_ref.data(), n);
            table->f16_to_f32(half_ref.data(), back.data(), n);
            reference().f16_to_f32(half_ref.data(), back_ref.data(), n);
            CHECK(half.intact());
            CHECK(back.intact());
            CHECK(same_bits(half.data(), half_ref.data(), n));
            CHECK(same_bits(back.data(), back_ref.data(), n));
        }
        std::vector<std::uint16_t> half(x.size()), half_ref(x.size());
        table->f32_to_f16(x.data(), half.data(), x.size());
        reference().f32_to_f16(x.data(), half_ref.data(), x.size());
        CHECK(half == half_ref);
    }
}

TEST_CASE("bf16 rounds to nearest even and keeps NaNs") {
    CHECK(ref::f32_to_bf16(1.0f) == 0x3f80);
    CHECK(ref::f32_to_bf16(from_bits(0x3f808000)) == 0x3f80);
    CHECK(ref::f32_to_bf16(from_bits(0x3f808001)) == 0x3f81);
    CHECK(ref::f32_to_bf16(from_bits(0x3f818000)) == 0x3f82);
    CHECK(ref::f32_to_bf16(3.4e38f) == 0x7f80);
    CHECK(ref::f32_to_bf16(from_bits(0x7f800001)) == 0x7fc0);
    CHECK(ref::f32_to_bf16(-INFINITY) == 0xff80);
}

TEST_CASE("activations are within half a step, with the sum of what was stored") {
    const auto x = telling_blocks();
    const std::size_t blocks = x.size() / 32;
    for (const Table* table : all_tables()) {
        CAPTURE(label(table));
        Guarded<ActivationBlock> out(blocks);
        table->quantize_activations(x.data(), out.data(), x.size());
        CHECK(out.intact());
        for (std::size_t b = 0; b < blocks; ++b) {
            CAPTURE(b);
            const ActivationBlock& block = out[b];
            int sum = 0;
            for (const int q : block.qs) sum += q;
            if (poisoned(&x[32 * b])) {
                CHECK(std::isnan(block.d));
                CHECK(std::isnan(block.sum));
                CHECK(sum == 0);
                continue;
            }
            CHECK(block.d ==
                  (magnitude(&x[32 * b]) < 0x1p-100f ? 0.0f : magnitude(&x[32 * b]) / 127));
            CHECK(block.sum == block.d * static_cast<float>(sum));
            for (std::size_t i = 0; i < 32; ++i) {
                const double value = static_cast<double>(block.d) * block.qs[i];
                const double half = 0.5 * block.d * (1 + 4 * 127 * 2 * kEpsilon) + 0x1p-100;
                REQUIRE(std::fabs(value - x[32 * b + i]) <= half);
            }
        }
        // 0.5 1.5 2.5 3.5 in steps of one: ties go to the even integer.
        CHECK(out[1].qs[1] == 0);
        CHECK(out[1].qs[3] == 2);
        CHECK(out[1].qs[5] == 2);
        CHECK(out[1].qs[7] == 4);
    }
}

TEST_CASE("an activation block's integer sums are those of its bytes") {
    // Whole blocks at either extreme, where a sum of bytes in too few bits would overflow: all 32
    // sums of one sign, both halves against each other, and one column at a time.
    auto x = blocks_to_agree_on();
    const auto add_block = [&x](auto&& value) {
        for (int i = 0; i < 32; ++i) x.push_back(value(i));
    };
    const std::size_t extremes = x.size() / 32;
    add_block([](int) { return 3.0f; });
    add_block([](int) { return -3.0f; });
    add_block([](int i) { return i < 16 ? 3.0f : -3.0f; });
    add_block([](int i) { return i < 16 ? -3.0f : 3.0f; });
    for (int only = 0; only < 32; ++only) {
        add_block([only](int i) { return i == only ? -3.0f : 0.0f; });
    }
    const std::size_t blocks = x.size() / 32;
    for (const Table* table : all_tables()) {
        CAPTURE(label(table));
        Guarded<ActivationBlock> out(blocks);
        table->quantize_activations(x.data(), out.data(), x.size());
        CHECK(out.intact());
        for (std::size_t b = 0; b < blocks; ++b) {
            CAPTURE(b);
            int head = 0, tail = 0;
            for (std::size_t i = 0; i < 16; ++i) head += out[b].qs[i];
            for (std::size_t i = 16; i < 32; ++i) tail += out[b].qs[i];
            REQUIRE(out[b].minus_sum == -(head + tail));
            REQUIRE(out[b].minus_tail == -tail);
        }
        CHECK(out[extremes].minus_sum == -32 * 127);
        CHECK(out[extremes + 1].minus_sum == 32 * 127);
        CHECK(out[extremes + 2].minus_sum == 0);
        CHECK(out[extremes + 2].minus_tail == 16 * 127);
        CHECK(out[extremes + 3].minus_tail == -16 * 127);
        for (std::size_t only = 0; only < 32; ++only) {
            CHECK(out[extremes + 4 + only].minus_sum == 127);
            CHECK(out[extremes + 4 + only].minus_tail == (only < 16 ? 0 : 127));
        }
    }
}

TEST_CASE("activations are bit-equal on all ISAs") {
    const auto x = blocks_to_agree_on();
    std::vector<ActivationBlock> expected(x.size() / 32);
    reference().quantize_activations(x.data(), expected.data(), x.size());
    for (const Table* table : isa_tables()) {
        CAPTURE(label(table));
        std::vector<ActivationBlock> out(x.size() / 32);
        table->quantize_activations(x.data(), out.data(), x.size());
        CHECK(same_bits(out.data(), expected.data(), out.size()));
    }
}

TEST_CASE("a Q8_0 payload is within half a step of its f16 scale") {
    const auto x = telling_blocks();
    for (const Table* table : all_tables()) {
        CAPTURE(label(table));
        Guarded<std::byte> out(x.size() / 32 * sizeof(BlockQ8_0));
        table->quantize_q8_0(x.data(), out.data(), x.size());
        CHECK(out.intact());
        std::vector<float> back(x.size());
        dequantize(DType::q8_0, out.data(), back.data(), x.size());
        for (std::size_t i = 0; i < x.size(); ++i) {
            CAPTURE(i);
            const float* block = &x[i / 32 * 32];
            if (poisoned(block)) {
                REQUIRE(std::isnan(back[i]));
                continue;
            }
            REQUIRE(std::isfinite(back[i]));
            const double scale = magnitude(block) / 127.0;
            if (scale > 65504) continue;  // capped: finite is all that is promised
            // The scale's own rounding: 2^-11 of it, or half of the smallest f16 step.
            const double d = scale * (1 + 0x1p-11) + 0x1p-25;
            const double clipped = 127 * std::max(scale * 0x1p-11, 0x1p-25);
            REQUIRE(std::fabs(static_cast<double>(back[i]) - x[i]) <= 0.5001 * d + clipped);
        }
    }
}

TEST_CASE("Q8_0 payloads are bit-equal on all ISAs") {
    const auto x = blocks_to_agree_on();
    std::vector<std::byte> expected(x.size() / 32 * sizeof(BlockQ8_0));
    reference().quantize_q8_0(x.data(), expected.data(), x.size());
    for (const Table* table : isa_tables()) {
        CAPTURE(label(table));
        std::vector<std::byte> out(expected.size());
        table->quantize_q8_0(x.data(), out.data(), x.size());
        CHECK(out == expected);
    }
}

TEST_CASE("accumulating adds each value with one rounding") {
    const std::size_t n = 32 * 9;
    const auto x = random_floats(n, 30);
    const auto start = random_floats(n, 31, 100.0f);
    std::vector<std::byte> q8(n / 32 * sizeof(BlockQ8_0));
    reference().quantize_q8_0(x.data(), q8.data(), n);
    std::vector<std::uint16_t> half(n);
    reference().f32_to_f16(x.data(), half.data(), n);
    std::vector<float> q8_values(n), half_values(n);
    dequantize(DType::q8_0, q8.data(), q8_values.data(), n);
    reference().f16_to_f32(half.data(), half_values.data(), n);
    for (const Table* table : all_tables()) {
        CAPTURE(label(table));
        Guarded<float> acc(n);
        std::copy(start.begin(), start.end(), acc.data());
        table->accumulate_q8_0(q8.data(), acc.data(), n);
        CHECK(acc.intact());
        for (std::size_t i = 0; i < n; ++i) REQUIRE(acc[i] == start[i] + q8_values[i]);
        for (const std::size_t length : {0, 1, 7, 8, 9, 31, 32, 33, 100}) {
            Guarded<float> sum(length);
            std::copy(start.begin(), start.begin() + static_cast<long>(length), sum.data());
            table->accumulate_f16(half.data(), sum.data(), length);
            CHECK(sum.intact());
            for (std::size_t i = 0; i < length; ++i) REQUIRE(sum[i] == start[i] + half_values[i]);
        }
    }
}

TEST_SUITE_END();
