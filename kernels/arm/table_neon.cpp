#include "kernels/arm/neon.hpp"
#include "kernels/ref/ref.hpp"

namespace shoal::kernels::arm {

const Table kNeonTable = {
    .name = "neon",
    .quantize_activations = quantize_activations,
    .matmul = {matmul_f32, matmul_f16, matmul_bf16, matmul_q4_0, matmul_q4_1, matmul_q5_0,
               matmul_q5_1, matmul_q8_0, ref::matmul_q2_k, ref::matmul_q3_k, matmul_q4_k, matmul_q5_k,
               matmul_q6_k, ref::matmul_iq4_nl, ref::matmul_iq4_xs},
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

}  // namespace shoal::kernels::arm
