// Random weights and activations of every type, as products take them.
#pragma once

#include <random>

#include "kernels/ref/half.hpp"
#include "tests/kernels/support.hpp"

namespace shoal::kernels::test {

inline void put_half(std::byte* at, float value) {
    const std::uint16_t bits = ref::f32_to_f16(value);
    std::memcpy(at, &bits, sizeof bits);
}

/// Rows of random blocks: random bits in every integer field, so that each code occurs, and
/// scales of either sign. The bytes between rows and behind them are poison that decodes to NaN.
struct Weights {
    Weights(DType type_, std::size_t d_, std::size_t cols_, std::uint32_t seed)
        : type(type_), d(d_), cols(cols_), stride(row_bytes(type_, cols_) + 4) {
        bytes.assign((d - 1) * stride + row_bytes(type, cols), std::byte{0xff});
        std::mt19937 rng(seed);
        for (std::size_t o = 0; o < d; ++o) fill_row(bytes.data() + o * stride, rng);
    }

    void fill_row(std::byte* row, std::mt19937& rng) const {
        std::normal_distribution<float> normal(0.0f, 0.1f);
        if (is_float(type)) {
            std::vector<float> x(cols);
            for (float& v : x) v = normal(rng);
            quantize(type, x.data(), row, cols);
            return;
        }
        const BlockShape shape = block_shape(type);
        for (std::size_t b = 0; b < cols / shape.elements; ++b, row += shape.bytes) {
            for (std::size_t i = 0; i < shape.bytes; ++i) row[i] = std::byte(rng() & 0xff);
            const bool k_quant = shape.elements == kSuperblock;
            const float scale = normal(rng) * (k_quant ? 0.02f : 1.0f);
            put_half(row + scale_offset(type), scale);
            if (has_minimum(type)) {
                put_half(row + scale_offset(type) + 2, normal(rng) * (k_quant ? 0.02f : 1.0f));
            }
        }
    }

    static bool has_minimum(DType type) {
        return type == DType::q4_1 || type == DType::q5_1 || type == DType::q2_k ||
               type == DType::q4_k || type == DType::q5_k;
    }

    /// Where a block has its f16 scale; a minimum follows it.
    static std::size_t scale_offset(DType type) {
        switch (type) {
            case DType::q2_k:
                return offsetof(BlockQ2_K, d);
            case DType::q3_k:
                return offsetof(BlockQ3_K, d);
            case DType::q6_k:
                return offsetof(BlockQ6_K, d);
            default:
                return 0;
        }
    }

    std::vector<double> values(std::size_t row) const {
        std::vector<float> out(cols);
        dequantize(type, bytes.data() + row * stride, out.data(), cols);
        return {out.begin(), out.end()};
    }

    /// The minimum that each column's value contains: what is left when the integers are zeroed.
    std::vector<double> minimums(std::size_t row) const {
        std::vector<float> out(cols, 0.0f);
        if (has_minimum(type)) {
            // Where the codes lie; Q5_1's and Q5_K's fifth bits come right before the others.
            const BlockShape shape = block_shape(type);
            const std::size_t first = shape.elements == kSuperblock ? 16 : 4;
            const std::size_t last = type == DType::q2_k ? offsetof(BlockQ2_K, d) : shape.bytes;
            std::vector<std::byte> zeroed(bytes.begin() + row * stride,
                                          bytes.begin() + row * stride + row_bytes(type, cols));
            for (std::size_t i = 0; i < zeroed.size(); ++i) {
                const std::size_t at = i % shape.bytes;
                if (at >= first && at < last) zeroed[i] = std::byte{0};
            }
            dequantize(type, zeroed.data(), out.data(), cols);
        }
        return {out.begin(), out.end()};
    }

    DType type;
    std::size_t d, cols, stride;
    std::vector<std::byte> bytes;
};

/// Rows of activations in the format that the weights take; poison between rows.
struct Inputs {
    Inputs(DType weight, std::size_t rows_, std::size_t cols_, std::uint32_t seed)
        : q8(activation_format(weight) == ActivationFormat::q8), rows(rows_), cols(cols_) {
        const auto x = random_floats(rows * cols, seed);
        const std::size_t row = q8 ? cols / 32 * sizeof(ActivationBlock) : cols * sizeof(float);
        stride = row + 8;
        bytes.assign((rows - 1) * stride + row, std::byte{0xff});
        for (std::size_t r = 0; r < rows; ++r) {
            if (q8) {
                std::vector<ActivationBlock> blocks(cols / 32);
                reference().quantize_activations(&x[r * cols], blocks.data(), cols);
                std::memcpy(bytes.data() + r * stride, blocks.data(), row);
            } else {
                std::memcpy(bytes.data() + r * stride, &x[r * cols], row);
            }
        }
    }

    std::vector<double> values(std::size_t r) const {
        std::vector<double> out(cols);
        const std::byte* row = bytes.data() + r * stride;
        for (std::size_t k = 0; k < cols; ++k) {
            if (q8) {
                ActivationBlock block;
                std::memcpy(&block, row + k / 32 * sizeof block, sizeof block);
                out[k] = static_cast<double>(block.d) * block.qs[k % 32];
            } else {
                float value;
                std::memcpy(&value, row + k * sizeof value, sizeof value);
                out[k] = value;
            }
        }
        return out;
    }

    bool q8;
    std::size_t rows, cols, stride = 0;
    std::vector<std::byte> bytes;
};

}  // namespace shoal::kernels::test
