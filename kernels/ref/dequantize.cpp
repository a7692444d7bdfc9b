#include <cassert>
#include <cstring>

#include "kernels/ref/ref.hpp"
#include "kernels/ref/unpack.hpp"

namespace shoal::kernels {
namespace {

template <class Block, std::size_t Elements>
void dequantize_blocks(const std::byte* blocks, float* out, std::size_t n) noexcept {
    for (std::size_t b = 0; b < n / Elements; ++b) {
        const auto block = ref::load_block<Block>(blocks + b * sizeof(Block));
        for (std::size_t g = 0; g < Elements / 32; ++g, out += 32) {
            const ref::Columns c = ref::unpack(block, g);
            for (std::size_t i = 0; i < 32; ++i) {
                // The product is exact (at most 24 significant bits): adding the minimum is the
                // one rounding.
                out[i] = c.d * static_cast<float>(c.mul[i / 16] * c.q[i]) + c.min[i / 16];
            }
        }
    }
}

}  // namespace

void dequantize(DType type, const std::byte* blocks, float* out, std::size_t n) noexcept {
    switch (type) {
        case DType::f32:
            std::memcpy(out, blocks, n * sizeof(float));
            return;
        case DType::f16:
            for (std::size_t i = 0; i < n; ++i) {
                out[i] = ref::f16_to_f32(ref::load_block<std::uint16_t>(blocks + 2 * i));
            }
            return;
        case DType::bf16:
            for (std::size_t i = 0; i < n; ++i) {
                out[i] = ref::bf16_to_f32(ref::load_block<std::uint16_t>(blocks + 2 * i));
            }
            return;
        case DType::q4_0:
            return dequantize_blocks<BlockQ4_0, 32>(blocks, out, n);
        case DType::q4_1:
            return dequantize_blocks<BlockQ4_1, 32>(blocks, out, n);
        case DType::q5_0:
            return dequantize_blocks<BlockQ5_0, 32>(blocks, out, n);
        case DType::q5_1:
            return dequantize_blocks<BlockQ5_1, 32>(blocks, out, n);
        case DType::q8_0:
            return dequantize_blocks<BlockQ8_0, 32>(blocks, out, n);
        case DType::q2_k:
            return dequantize_blocks<BlockQ2_K, kSuperblock>(blocks, out, n);
        case DType::q3_k:
            return dequantize_blocks<BlockQ3_K, kSuperblock>(blocks, out, n);
        case DType::q4_k:
            return dequantize_blocks<BlockQ4_K, kSuperblock>(blocks, out, n);
        case DType::q5_k:
            return dequantize_blocks<BlockQ5_K, kSuperblock>(blocks, out, n);
        case DType::q6_k:
            return dequantize_blocks<BlockQ6_K, kSuperblock>(blocks, out, n);
        case DType::iq4_nl:
            return dequantize_blocks<BlockIQ4_NL, 32>(blocks, out, n);
        case DType::iq4_xs:
            return dequantize_blocks<BlockIQ4_XS, kSuperblock>(blocks, out, n);
    }
    assert(false && "dequantize: unknown type");
}

}  // namespace shoal::kernels
