// Portable matrix products. Sums run in double along k, in column order, one accumulator for each
// output: the result depends on nothing but its two rows.
#include <cstring>

#include "kernels/ref/ref.hpp"
#include "kernels/ref/unpack.hpp"

namespace shoal::kernels::ref {
namespace {

/// Rows of x that use a W block while it is unpacked.
constexpr std::size_t kTile = 8;

const std::byte* weight_row(const Matmul& m, std::size_t out) noexcept {
    return m.w + out * m.w_stride;
}

template <class T>
const T* input_row(const Matmul& m, std::size_t row) noexcept {
    const void* bytes = static_cast<const std::byte*>(m.x) + row * m.x_stride;
    return static_cast<const T*>(bytes);
}

float load_element(const std::byte* w, float) noexcept {
    float value;
    std::memcpy(&value, w, sizeof value);
    return value;
}

struct F16 {
    std::uint16_t bits;
};
struct Bf16 {
    std::uint16_t bits;
};

float load_element(const std::byte* w, F16) noexcept {
    return f16_to_f32(load_block<std::uint16_t>(w));
}

float load_element(const std::byte* w, Bf16) noexcept {
    return bf16_to_f32(load_block<std::uint16_t>(w));
}

template <class Element>
void matmul_float(const Matmul& m) noexcept {
    for (std::size_t r0 = 0; r0 < m.rows; r0 += kTile) {
        const std::size_t tile = m.rows - r0 < kTile ? m.rows - r0 : kTile;
        for (std::size_t o = m.out_begin; o < m.out_end; ++o) {
            const std::byte* w = weight_row(m, o);
            double acc[kTile] = {};
            for (std::size_t k = 0; k < m.cols; ++k) {
                const double value = load_element(w + k * sizeof(Element), Element{});
                for (std::size_t t = 0; t < tile; ++t) {
                    acc[t] += value * input_row<float>(m, r0 + t)[k];
                }
            }
            for (std::size_t t = 0; t < tile; ++t) {
                m.y[(r0 + t) * m.y_stride + o] = static_cast<float>(acc[t]);
            }
        }
    }
}

double dot(const Columns& w, const ActivationBlock& x) noexcept {
    std::int32_t halves[2] = {0, 0};
    for (std::size_t i = 0; i < 16; ++i) halves[0] += w.q[i] * x.qs[i];
    for (std::size_t i = 16; i < 32; ++i) halves[1] += w.q[i] * x.qs[i];
    const std::int32_t sum = w.mul[0] * halves[0] + w.mul[1] * halves[1];
    const double minimum = w.min[0] == w.min[1]
                               ? static_cast<double>(w.min[0]) * x.sum
                               : (static_cast<double>(w.min[0]) * (x.minus_tail - x.minus_sum) -
                                  static_cast<double>(w.min[1]) * x.minus_tail) *
                                     x.d;
    return static_cast<double>(w.d) * x.d * sum + minimum;
}

/// Block holds `Elements` columns; x has one activation block for each 32 of them.
template <class Block, std::size_t Elements>
void matmul_blocks(const Matmul& m) noexcept {
    constexpr std::size_t kGroups = Elements / kActivationBlock;
    for (std::size_t r0 = 0; r0 < m.rows; r0 += kTile) {
        const std::size_t tile = m.rows - r0 < kTile ? m.rows - r0 : kTile;
        for (std::size_t o = m.out_begin; o < m.out_end; ++o) {
            const std::byte* w = weight_row(m, o);
            double acc[kTile] = {};
            for (std::size_t b = 0; b < m.cols / Elements; ++b) {
                const auto block = load_block<Block>(w + b * sizeof(Block));
                for (std::size_t g = 0; g < kGroups; ++g) {
                    const Columns columns = unpack(block, g);
                    for (std::size_t t = 0; t < tile; ++t) {
                        const auto* x = input_row<ActivationBlock>(m, r0 + t);
                        acc[t] += dot(columns, x[b * kGroups + g]);
                    }
                }
            }
            for (std::size_t t = 0; t < tile; ++t) {
                m.y[(r0 + t) * m.y_stride + o] = static_cast<float>(acc[t]);
            }
        }
    }
}

}  // namespace

void matmul_f32(const Matmul& m) noexcept {
    matmul_float<float>(m);
}
void matmul_f16(const Matmul& m) noexcept {
    matmul_float<F16>(m);
}
void matmul_bf16(const Matmul& m) noexcept {
    matmul_float<Bf16>(m);
}
void matmul_q4_0(const Matmul& m) noexcept {
    matmul_blocks<BlockQ4_0, 32>(m);
}
void matmul_q4_1(const Matmul& m) noexcept {
    matmul_blocks<BlockQ4_1, 32>(m);
}
void matmul_q5_0(const Matmul& m) noexcept {
    matmul_blocks<BlockQ5_0, 32>(m);
}
void matmul_q5_1(const Matmul& m) noexcept {
    matmul_blocks<BlockQ5_1, 32>(m);
}
void matmul_q8_0(const Matmul& m) noexcept {
    matmul_blocks<BlockQ8_0, 32>(m);
}
void matmul_q4_k(const Matmul& m) noexcept {
    matmul_blocks<BlockQ4_K, kSuperblock>(m);
}
void matmul_q5_k(const Matmul& m) noexcept {
    matmul_blocks<BlockQ5_K, kSuperblock>(m);
}
void matmul_q6_k(const Matmul& m) noexcept {
    matmul_blocks<BlockQ6_K, kSuperblock>(m);
}
void matmul_q2_k(const Matmul& m) noexcept {
    matmul_blocks<BlockQ2_K, kSuperblock>(m);
}
void matmul_q3_k(const Matmul& m) noexcept {
    matmul_blocks<BlockQ3_K, kSuperblock>(m);
}
void matmul_iq4_nl(const Matmul& m) noexcept {
    matmul_blocks<BlockIQ4_NL, 32>(m);
}
void matmul_iq4_xs(const Matmul& m) noexcept {
    matmul_blocks<BlockIQ4_XS, kSuperblock>(m);
}

}  // namespace shoal::kernels::ref
