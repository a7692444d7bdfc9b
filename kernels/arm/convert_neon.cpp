// Conversions with NEON. Definitions and special cases: kernels/ref/convert.cpp, which these equal
// bit for bit.
#include "kernels/arm/neon.hpp"
#include "kernels/arm/vector_neon.hpp"
#include "kernels/rounding.hpp"

namespace shoal::kernels::arm {
namespace {

constexpr std::size_t kQ8Bytes = 34;

/// The 32 values of a block.
struct Block {
    float32x4_t v[8];
};

Block load_block(const float* x) noexcept {
    Block block;
    for (std::size_t i = 0; i < 8; ++i) block.v[i] = vld1q_f32(x + 4 * i);
    return block;
}

/// Bits of max |x|, compared as integers so that a NaN wins.
std::uint32_t max_magnitude(const Block& x) noexcept {
    uint32x4_t max = vdupq_n_u32(0);
    for (const float32x4_t v : x.v) {
        max = vmaxq_u32(max, vandq_u32(vreinterpretq_u32_f32(v), vdupq_n_u32(0x7fffffffu)));
    }
    return vmaxvq_u32(max);
}

float as_float(std::uint32_t bits) noexcept {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/// The bytes of a block: columns 0..15 and 16..31.
struct Bytes {
    int8x16_t lo, hi;
};

int16x8_t round_to_words(float32x4_t a, float32x4_t b) noexcept {
    return vcombine_s16(vmovn_s32(vcvtnq_s32_f32(a)), vmovn_s32(vcvtnq_s32_f32(b)));
}

/// Values rounded to nearest even. Requires: all within a byte's range.
Bytes round_to_bytes(const Block& x) noexcept {
    return {vcombine_s8(vmovn_s16(round_to_words(x.v[0], x.v[1])),
                        vmovn_s16(round_to_words(x.v[2], x.v[3]))),
            vcombine_s8(vmovn_s16(round_to_words(x.v[4], x.v[5])),
                        vmovn_s16(round_to_words(x.v[6], x.v[7])))};
}

Block scaled(Block x, float factor) noexcept {
    for (float32x4_t& v : x.v) v = vmulq_n_f32(v, factor);
    return x;
}

Block clamped(Block x) noexcept {
    for (float32x4_t& v : x.v) {
        v = vmaxq_f32(vminq_f32(v, vdupq_n_f32(127.0f)), vdupq_n_f32(-127.0f));
    }
    return x;
}

void store_bytes(void* at, Bytes q) noexcept {
    auto* out = static_cast<std::int8_t*>(at);
    vst1q_s8(out, q.lo);
    vst1q_s8(out + 16, q.hi);
}

}  // namespace

void f32_to_f16(const float* x, std::uint16_t* out, std::size_t n) noexcept {
    std::size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        vst1_u16(out + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(x + i))));
    }
    for (; i < n; ++i) {
        const auto half = static_cast<__fp16>(x[i]);
        memcpy(out + i, &half, sizeof half);
    }
}

void f16_to_f32(const std::uint16_t* x, float* out, std::size_t n) noexcept {
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) V8::store(out + i, V8::load_f16(x + i));
    for (; i < n; ++i) out[i] = load_half(x + i);
}

void quantize_activations(const float* x, ActivationBlock* out, std::size_t n) noexcept {
    for (std::size_t b = 0; b < n / kActivationBlock; ++b, ++out) {
        const Block block = load_block(x + b * kActivationBlock);
        const std::uint32_t magnitude = max_magnitude(block);
        if (magnitude >= kInfinityBits || magnitude < kTinyBits) {
            const float d = magnitude >= kInfinityBits ? as_float(kNanBits) : 0.0f;
            *out = {{}, d, d, 0, 0};
            continue;
        }
        const float max = as_float(magnitude);
        const Bytes q = round_to_bytes(scaled(block, 127.0f / max));
        const int tail = vaddlvq_s8(q.hi);
        const int sum = vaddlvq_s8(q.lo) + tail;
        out->d = max / 127.0f;
        out->sum = out->d * static_cast<float>(sum);
        out->minus_sum = -sum;
        out->minus_tail = -tail;
        store_bytes(out->qs, q);
    }
}

void quantize_q8_0(const float* x, std::byte* out, std::size_t n) noexcept {
    for (std::size_t b = 0; b < n / 32; ++b, out += kQ8Bytes) {
        const Block block = load_block(x + 32 * b);
        const std::uint32_t magnitude = max_magnitude(block);
        std::uint16_t bits = kNanHalf;
        Bytes q = {vdupq_n_s8(0), vdupq_n_s8(0)};
        if (magnitude < kInfinityBits) {
            const float scale = as_float(magnitude) / 127.0f;
            const auto half = static_cast<__fp16>(scale > kMaxHalf ? kMaxHalf : scale);
            memcpy(&bits, &half, sizeof bits);
            const auto d = static_cast<float>(half);
            q = round_to_bytes(clamped(scaled(block, d > 0 ? 1.0f / d : 0.0f)));
        }
        memcpy(out, &bits, sizeof bits);
        store_bytes(out + 2, q);
    }
}

void accumulate_q8_0(const std::byte* x, float* acc, std::size_t n) noexcept {
    for (std::size_t b = 0; b < n / 32; ++b, x += kQ8Bytes, acc += 32) {
        const float d = load_half(x);
        for (std::size_t i = 0; i < 32; i += 16) {
            const int8x16_t q = load_s8(x + 2 + i);
            const int16x8_t words[2] = {vmovl_s8(vget_low_s8(q)), vmovl_high_s8(q)};
            for (std::size_t j = 0; j < 2; ++j) {
                float* at = acc + i + 8 * j;
                const float32x4_t lo = vcvtq_f32_s32(vmovl_s16(vget_low_s16(words[j])));
                const float32x4_t hi = vcvtq_f32_s32(vmovl_high_s16(words[j]));
                // The product is exact, so this rounds once like the reference.
                vst1q_f32(at, vfmaq_n_f32(vld1q_f32(at), lo, d));
                vst1q_f32(at + 4, vfmaq_n_f32(vld1q_f32(at + 4), hi, d));
            }
        }
    }
}

void accumulate_f16(const std::uint16_t* x, float* acc, std::size_t n) noexcept {
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        V8::store(acc + i, V8::add(V8::load(acc + i), V8::load_f16(x + i)));
    }
    for (; i < n; ++i) acc[i] += load_half(x + i);
}

}  // namespace shoal::kernels::arm
