#include "daemon/exec/q16.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace shoal::exec {
namespace {

constexpr std::size_t kBlock = 32;

std::vector<std::byte> encoded(const std::vector<float>& x) {
    std::vector<std::byte> out(x.size() / kBlock * sizeof(Q16Block));
    quantize_q16(x.data(), out.data(), x.size());
    return out;
}

std::vector<float> decoded(const std::vector<std::byte>& bytes) {
    std::vector<float> y(bytes.size() / sizeof(Q16Block) * kBlock);
    accumulate_q16(bytes.data(), y.data(), y.size());
    return y;
}

}  // namespace

TEST_CASE("q16 keeps a block's largest value to 15 bits, whatever its size") {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (int exponent = -140; exponent <= 126; exponent += 7) {
        CAPTURE(exponent);
        std::vector<float> x(4 * kBlock);
        for (float& v : x) v = std::ldexp(std::clamp(normal(random), -3.9F, 3.9F), exponent - 1);
        const auto y = decoded(encoded(x));
        for (std::size_t b = 0; b < x.size(); b += kBlock) {
            double most = 0, worst = 0;
            for (std::size_t i = b; i < b + kBlock; ++i) {
                most = std::max(most, std::abs(double{x[i]}));
                worst = std::max(worst, std::abs(double{x[i]} - y[i]));
            }
            // Below the least exponent a step is 2^-126.
            CHECK(worst <= std::max(std::ldexp(most, -15), std::ldexp(1.0, -127)));
        }
    }
}

TEST_CASE("q16 rounds to nearest, ties to even, and never beyond its codes") {
    std::vector<float> x(kBlock);
    x[0] = 16384;  // the exponent is 0
    x[1] = 2.5F, x[2] = 3.5F, x[3] = -2.5F, x[4] = 0.49F, x[5] = -0.0F;
    auto y = decoded(encoded(x));
    CHECK(y[0] == 16384);
    CHECK(y[1] == 2);
    CHECK(y[2] == 4);
    CHECK(y[3] == -2);
    CHECK(y[4] == 0);
    CHECK(y[5] == 0);
    x[0] = 32767.9F;
    x[1] = -32767.9F;
    y = decoded(encoded(x));
    CHECK(y[0] == 32767);
    CHECK(y[1] == -32767);
    x.assign(kBlock, std::numeric_limits<float>::max());
    for (const float v : decoded(encoded(x))) CHECK(v == std::ldexp(32767.0F, 113));
    x.assign(kBlock, 0);
    for (const float v : decoded(encoded(x))) CHECK(v == 0);
}

TEST_CASE("what is not finite in a q16 block is seen, and stays in it") {
    for (const float bad :
         {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
          std::numeric_limits<float>::quiet_NaN()}) {
        std::vector<float> x(2 * kBlock, 1);
        x[7] = bad;
        const auto y = decoded(encoded(x));
        for (std::size_t i = 0; i < y.size(); ++i) CHECK(std::isnan(y[i]) == (i < kBlock));
    }
    // Any exponent that a message may hold makes numbers or NaN, and no more.
    for (int e = -32768; e <= 32767; ++e) {
        std::vector<std::byte> bytes(sizeof(Q16Block), std::byte{1});
        const auto exponent = static_cast<std::int16_t>(e);
        std::memcpy(bytes.data(), &exponent, sizeof exponent);
        const bool known = e >= -126 && e <= 127;
        CHECK(std::isnan(decoded(bytes)[0]) == !known);
    }
}

TEST_CASE("q16 adds to what is there, from any address") {
    std::vector<float> x(2 * kBlock);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) - 20;
    const auto bytes = encoded(x);
    std::vector<std::byte> shifted(bytes.size() + 1);
    std::copy(bytes.begin(), bytes.end(), shifted.begin() + 1);
    std::vector<float> y(x.size(), 0.5F);
    accumulate_q16(shifted.data() + 1, y.data(), y.size());
    for (std::size_t i = 0; i < y.size(); ++i) CHECK(y[i] == x[i] + 0.5F);
}

}  // namespace shoal::exec
