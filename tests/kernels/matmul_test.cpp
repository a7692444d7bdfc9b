// Matrix products of every ISA against sums in double over the dequantised values.
#include <algorithm>

#include "tests/kernels/products.hpp"

using namespace shoal::kernels;
using namespace shoal::kernels::test;

namespace {

/// One product with its output in a poisoned, strided buffer.
struct Product {
    Product(const Weights& w_, const Inputs& x_)
        : w(w_), x(x_), stride(w_.d + 3), y(x_.rows * stride) {}

    void run(const Table& table, std::size_t row, std::size_t rows, std::size_t begin,
             std::size_t end) {
        const Matmul m{w.bytes.data(),
                       w.stride,
                       x.bytes.data() + row * x.stride,
                       x.stride,
                       y.data() + row * stride,
                       stride,
                       w.cols,
                       rows,
                       begin,
                       end};
        table.matmul_for(w.type)(m);
    }

    float at(std::size_t row, std::size_t out) { return y[row * stride + out]; }

    /// Nothing but columns [begin, end) was written.
    bool untouched_outside(std::size_t begin, std::size_t end) {
        Guarded<float> fresh(1);
        const std::uint32_t poison = bits_of(fresh[0]);
        for (std::size_t i = 0; i < y.size(); ++i) {
            const std::size_t column = i % stride;
            const bool written = column >= begin && column < end;
            if (!written && bits_of(y[i]) != poison) return false;
        }
        return y.intact();
    }

    const Weights& w;
    const Inputs& x;
    std::size_t stride;
    Guarded<float> y;
};

/// How far a kernel's sum may lie from the exact one, as derived in kernels/NUMERICS.md: the number
/// of roundings on the longest path times epsilon times the sum of magnitudes.
double bound(const Weights& w, std::size_t out, const std::vector<double>& x) {
    const auto values = w.values(out);
    const auto minimums = w.minimums(out);
    double magnitude = 0;
    for (std::size_t k = 0; k < x.size(); ++k) {
        const double parts = std::fabs(values[k] - minimums[k]) + std::fabs(minimums[k]);
        magnitude += parts * std::fabs(x[k]);
    }
    const double n = static_cast<double>(x.size());
    const double roundings = is_float(w.type) ? std::min(n, 32.0) + n / 256 + 5 : 2 * n / 32 + 6;
    return roundings * kEpsilon * magnitude;
}

double exact(const std::vector<double>& w, const std::vector<double>& x) {
    double sum = 0;
    for (std::size_t k = 0; k < x.size(); ++k) sum += w[k] * x[k];
    return sum;
}

std::vector<std::size_t> awkward_columns(DType type) {
    switch (block_shape(type).elements) {
        case 1:
            return {1, 3, 8, 15, 33, 100, 257, 1000};
        case 32:
            return {32, 64, 96, 160, 1056};
        default:
            return {256, 512, 1280};
    }
}

void check_product(DType type, std::size_t cols, std::size_t d, std::size_t rows) {
    CAPTURE(label(type));
    CAPTURE(cols);
    CAPTURE(d);
    CAPTURE(rows);
    const auto seed = static_cast<std::uint32_t>(cols * 131 + d * 17 + rows);
    const Weights w(type, d, cols, seed);
    const Inputs x(type, rows, cols, seed + 1);
    for (const Table* table : all_tables()) {
        CAPTURE(label(table));
        Product product(w, x);
        product.run(*table, 0, rows, 0, d);
        CHECK(product.untouched_outside(0, d));
        for (std::size_t r = 0; r < rows; ++r) {
            const auto input = x.values(r);
            for (std::size_t o = 0; o < d; ++o) {
                CAPTURE(r);
                CAPTURE(o);
                const double error = std::fabs(product.at(r, o) - exact(w.values(o), input));
                // Written so that a NaN fails.
                REQUIRE(error <= bound(w, o, input));
            }
        }
    }
}

}  // namespace

TEST_SUITE_BEGIN("matmul");

TEST_CASE("a product lies within its bound for awkward widths") {
    for (const DType type : kDTypes) {
        for (const std::size_t cols : awkward_columns(type)) check_product(type, cols, 5, 3);
    }
}

TEST_CASE("a product lies within its bound for awkward numbers of rows") {
    for (const DType type : kDTypes) {
        for (const std::size_t d : {1, 2, 3, 4, 7, 9}) {
            for (const std::size_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 17}) {
                check_product(type, 256, d, rows);
            }
        }
    }
}

TEST_CASE("a result depends on its two rows only, not on the batch or the split") {
    for (const DType type : kDTypes) {
        CAPTURE(label(type));
        const std::size_t cols = awkward_columns(type).back();
        const std::size_t d = 13;
        const std::size_t rows = 37;
        const Weights w(type, d, cols, 5);
        const Inputs x(type, rows, cols, 6);
        for (const Table* table : all_tables()) {
            CAPTURE(label(table));
            Product whole(w, x), single(w, x), split(w, x);
            whole.run(*table, 0, rows, 0, d);
            for (std::size_t r = 0; r < rows; ++r) {
                for (std::size_t o = 0; o < d; ++o) single.run(*table, r, 1, o, o + 1);
            }
            split.run(*table, 0, 6, 0, 5);
            split.run(*table, 6, rows - 6, 0, 5);
            split.run(*table, 0, 11, 5, d);
            split.run(*table, 11, rows - 11, 5, d);
            CHECK(same_bits(whole.y.data(), single.y.data(), whole.y.size()));
            CHECK(same_bits(whole.y.data(), split.y.data(), whole.y.size()));
        }
    }
}

TEST_CASE("floats in blocks of many rows have the bits of single rows") {
    // More than one block of rows and of outputs, and a part of one; columns end within a vector.
    const std::size_t cols = 1003;
    const std::size_t d = 37;
    const std::size_t rows = 101;
    for (const DType type : kDTypes) {
        if (!is_float(type)) continue;
        CAPTURE(label(type));
        const Weights w(type, d, cols, 11);
        const Inputs x(type, rows, cols, 12);
        for (const Table* table : all_tables()) {
            CAPTURE(label(table));
            Product whole(w, x), single(w, x);
            whole.run(*table, 0, rows, 2, d);
            for (std::size_t r = 0; r < rows; ++r) single.run(*table, r, 1, 2, d);
            CHECK(same_bits(whole.y.data(), single.y.data(), whole.y.size()));
            CHECK(whole.untouched_outside(2, d));
        }
    }
}

TEST_CASE("an output range writes its own columns only, and an empty one nothing") {
    for (const DType type : kDTypes) {
        CAPTURE(label(type));
        const Weights w(type, 11, 256, 8);
        const Inputs x(type, 6, 256, 9);
        for (const Table* table : all_tables()) {
            CAPTURE(label(table));
            Product product(w, x);
            product.run(*table, 0, 6, 4, 4);
            CHECK(product.untouched_outside(0, 0));
            product.run(*table, 0, 6, 3, 8);
            CHECK(product.untouched_outside(3, 8));
        }
    }
}

TEST_CASE("integer sums cannot overflow at the extremes of every code") {
    // All weights at one end of their codes and all activations at +-127, in one sign pattern
    // that adds up: the largest sums that the formats can make.
    for (const DType type : kDTypes) {
        if (is_float(type)) continue;
        CAPTURE(label(type));
        for (const int fill : {0x00, 0xff, 0x80, 0x7f, 0x88}) {
            for (const int activation : {127, -127}) {
                Weights w(type, 1, 512, 1);
                const BlockShape shape = block_shape(type);
                for (std::size_t b = 0; b < 512 / shape.elements; ++b) {
                    std::byte* block = w.bytes.data() + b * shape.bytes;
                    std::memset(block, fill, shape.bytes);
                    put_half(block + Weights::scale_offset(type), 1.0f);
                    if (Weights::has_minimum(type)) {
                        put_half(block + Weights::scale_offset(type) + 2, 0.5f);
                    }
                }
                Inputs x(type, 1, 512, 2);
                for (std::size_t b = 0; b < 512 / 32; ++b) {
                    const auto sum = static_cast<float>(activation) * 32;
                    ActivationBlock block{{}, 1.0f, sum, -activation * 32, -activation * 16};
                    std::fill(std::begin(block.qs), std::end(block.qs),
                              static_cast<std::int8_t>(activation));
                    std::memcpy(x.bytes.data() + b * sizeof block, &block, sizeof block);
                }
                for (const Table* table : all_tables()) {
                    CAPTURE(label(table));
                    CAPTURE(fill);
                    CAPTURE(activation);
                    Product product(w, x);
                    product.run(*table, 0, 1, 0, 1);
                    const auto input = x.values(0);
                    const double error = std::fabs(product.at(0, 0) - exact(w.values(0), input));
                    CHECK(error <= bound(w, 0, input));
                }
            }
        }
    }
}

TEST_CASE("a poisoned activation shows in its own row and no other") {
    for (const DType type : kDTypes) {
        if (is_float(type)) continue;
        CAPTURE(label(type));
        const Weights w(type, 4, 512, 21);
        Inputs x(type, 5, 512, 22);
        ActivationBlock poison{{}, NAN, NAN, 0, 0};
        std::memcpy(x.bytes.data() + 2 * x.stride + 3 * sizeof poison, &poison, sizeof poison);
        for (const Table* table : all_tables()) {
            CAPTURE(label(table));
            Product product(w, x);
            product.run(*table, 0, 5, 0, 4);
            for (std::size_t r = 0; r < 5; ++r) {
                for (std::size_t o = 0; o < 4; ++o) {
                    CHECK(std::isnan(product.at(r, o)) == (r == 2));
                }
            }
        }
    }
}

TEST_SUITE_END();
