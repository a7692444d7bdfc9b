// What the tables of all ARM ISAs have in common. For the files that define one.
#pragma once

#include "kernels/arm/neon.hpp"
#include "kernels/vector/panel_table.hpp"

namespace shoal::kernels::arm {
namespace {

/// The NEON kernels, with products of packed weights over the vectors of V.
template <class V>
constexpr Table table(const char* name) noexcept {
    Table t = {
        .name = name,
        .quantize_activations = quantize_activations,
        .matmul = {matmul_f32, matmul_f16, matmul_bf16},
        .pack = {},
        .panel_matmul = {},
        .rms_norm = rms_norm,
        .rope = rope,
        .silu_mul = silu_mul,
        .add = add,
        .attend = {attend_f32, attend_f16, attend_q8_0},
        .f32_to_f16 = f32_to_f16,
        .f16_to_f32 = f16_to_f32,
        .quantize_q8_0 = quantize_q8_0,
        .accumulate_q8_0 = accumulate_q8_0,
        .accumulate_f16 = accumulate_f16,
        .scale_logits = scale_logits,
        .block_maxima = block_maxima,
        .sum_exp = sum_exp,
        .find_draw = find_draw,
    };
    using namespace vector;
    set_format<V, Q4_0, pack_q4_0>(t);
    set_format<V, Q4_1, pack_q4_1>(t);
    set_format<V, Q5_0, pack_q5_0>(t);
    set_format<V, Q5_1, pack_q5_1>(t);
    set_format<V, Q8_0, pack_q8_0>(t);
    set_format<V, Q2_K, pack_q2_k>(t);
    set_format<V, Q3_K, pack_q3_k>(t);
    set_format<V, Q4_K, pack_q4_k>(t);
    set_format<V, Q5_K, pack_q5_k>(t);
    set_format<V, Q6_K, pack_q6_k>(t);
    set_format<V, IQ4_NL, pack_iq4_nl>(t);
    set_format<V, IQ4_XS, pack_iq4_xs>(t);
    return t;
}

}  // namespace
}  // namespace shoal::kernels::arm
