#include <algorithm>
#include <limits>
#include <set>

#include "kernels/draw.hpp"
#include "tests/kernels/support.hpp"

using namespace shoal::kernels;
using namespace shoal::kernels::test;

TEST_SUITE_BEGIN("logits");

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// Around lanes, pairs of them and blocks.
constexpr std::size_t kSizes[] = {1, 5, 8, 15, 16, 17, 100, 127, 128, 129, 300, 1000, 4099};

Guarded<float> guarded(const std::vector<float>& values) {
    Guarded<float> copy(values.size());
    std::copy(values.begin(), values.end(), copy.data());
    return copy;
}

}  // namespace

TEST_CASE("scaling is bit-equal on all ISAs and turns NaN into the lowest float") {
    for (const std::size_t n : kSizes) {
        auto values = random_floats(n, 7, 3.0f);
        values[n / 2] = std::numeric_limits<float>::quiet_NaN();
        if (n > 8) values[1] = kInf, values[n - 1] = -kInf;
        for (const float temperature : {1.0f, 0.7f}) {
            auto expected = guarded(values);
            reference().scale_logits(expected.data(), n, temperature);
            CHECK(expected[n / 2] == std::numeric_limits<float>::lowest());
            CHECK(expected[0] == (n / 2 == 0 ? expected[0] : values[0] / temperature));
            for (const Table* table : isa_tables()) {
                CAPTURE(label(table));
                auto out = guarded(values);
                table->scale_logits(out.data(), n, temperature);
                CHECK(same_bits(out.data(), expected.data(), n));
                CHECK(out.intact());
            }
        }
    }
}

TEST_CASE("the maximum of every block is found, wherever it stands") {
    for (const std::size_t n : kSizes) {
        // Below zero, so that what pads a tail must not win.
        auto values = random_floats(n, 11);
        for (float& value : values) value -= 50.0f;
        const std::size_t blocks = (n + kLogitBlock - 1) / kLogitBlock;
        for (std::size_t at = 0; at < n; at += n < 200 ? 1 : 37) {
            const float before = values[at];
            values[at] = -1;
            for (const Table* table : all_tables()) {
                Guarded<float> max(blocks);
                table->block_maxima(values.data(), n, max.data());
                bool right = max.intact();
                for (std::size_t b = 0; b < blocks; ++b) {
                    const auto begin =
                        values.begin() + static_cast<std::ptrdiff_t>(b * kLogitBlock);
                    const auto size = std::min(kLogitBlock, n - b * kLogitBlock);
                    right &= max[b] ==
                             *std::max_element(begin, begin + static_cast<std::ptrdiff_t>(size));
                }
                if (!right) FAIL(label(table), " of ", n, " at ", at);
            }
            values[at] = before;
        }
    }
}

TEST_CASE("the maximum of a block without a number is minus infinity") {
    for (const std::size_t n : kSizes) {
        const std::vector<float> values(n, -kInf);
        const std::size_t blocks = (n + kLogitBlock - 1) / kLogitBlock;
        for (const Table* table : all_tables()) {
            CAPTURE(label(table));
            CAPTURE(n);
            Guarded<float> max(blocks);
            table->block_maxima(values.data(), n, max.data());
            for (std::size_t b = 0; b < blocks; ++b) CHECK(max[b] == -kInf);
        }
    }
}

TEST_CASE("sums of exponentials are within the bound, and equal among vector ISAs") {
    for (const std::size_t n : kSizes) {
        auto values = random_floats(n, 13, 10.0f);
        if (n > 20) values[3] = std::numeric_limits<float>::lowest();
        if (n > 20) values[4] = -std::numeric_limits<float>::infinity();
        const float max = *std::max_element(values.begin(), values.end());
        double exact = 0;
        double weighted = 0;  // each term's own rounding grows with its distance from max
        for (const float v : values) {
            const double term = std::exp(double{v} - max);
            exact += term;
            if (term > 0) weighted += term * (max - double{v});
        }
        double first = 0;
        for (const Table* table : all_tables()) {
            CAPTURE(label(table));
            const double sum = table->sum_exp(values.data(), n, max);
            CHECK(std::abs(sum - exact) <=
                  kEpsilon * (weighted + 16 * exact) + static_cast<double>(n) * 0x1p-126);
            if (table == &reference()) continue;
            if (first != 0) CHECK(sum == first);
            first = sum;
        }
    }
}

TEST_CASE("a token's hash is found by every ISA, and by its bound only") {
    const DrawKey key{0x12345678, 0x9abcdef0};
    for (const std::size_t n : kSizes) {
        for (const std::uint32_t first : {0u, 3u, 128000u, 0xfffffff0u}) {
            // The lowest hash is one token's; just below it is none's, and just below the second a
            // token may seem to be found before the right one.
            std::vector<std::uint32_t> hashes;
            for (std::uint32_t i = 0; i < n; ++i) hashes.push_back(draw_hash(key, first + i));
            std::sort(hashes.begin(), hashes.end());
            const std::uint32_t lowest = hashes.front();
            const std::uint32_t second = hashes[std::min<std::size_t>(1, n - 1)];
            for (const std::uint32_t limit :
                 {0u, 1u << 20, 1u << 26, 1u << 31, 0xffffffffu, lowest, lowest - 1, second - 1}) {
                std::size_t expected = 0;
                while (expected < n &&
                       draw_hash(key, first + static_cast<std::uint32_t>(expected)) > limit) {
                    ++expected;
                }
                for (const Table* table : all_tables()) {
                    if (table->find_draw(key, first, n, limit) != expected) {
                        FAIL(label(table), " of ", n, " from ", first, " below ", limit);
                    }
                }
            }
        }
    }
}

TEST_CASE("hashes of one key differ, and those of two keys are strangers") {
    std::set<std::uint32_t> seen;
    std::size_t equal_bits = 0;
    constexpr std::uint32_t kTokens = 20000;
    for (std::uint32_t token = 0; token < kTokens; ++token) {
        const std::uint32_t hash = draw_hash({1, 2}, token);
        CHECK(seen.insert(hash).second);
        equal_bits +=
            static_cast<std::size_t>(__builtin_popcount(~(hash ^ draw_hash({1, 3}, token))));
    }
    // Binomial with 640 000 fair bits: deviation 400.
    CHECK(std::abs(static_cast<double>(equal_bits) - kTokens * 16) < 5 * 400);
}

TEST_SUITE_END();
