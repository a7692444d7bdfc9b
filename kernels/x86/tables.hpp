// What the tables of all x86 ISAs have in common. For the files that define one.
#pragma once

#include "kernels/vector/panel_table.hpp"
#include "kernels/x86/avx2.hpp"

namespace shoal::kernels::x86 {
namespace {

/// The AVX2 kernels, with products of packed weights over the vectors of V.
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
    vector::set_formats<V>(t);
    return t;
}

/// The same with products of floats and attention over 16 lanes.
template <class V>
[[maybe_unused]] constexpr Table table_512(const char* name) noexcept {
    Table t = table<V>(name);
    t.matmul[type_index(DType::f32)] = matmul_f32_512;
    t.matmul[type_index(DType::f16)] = matmul_f16_512;
    t.matmul[type_index(DType::bf16)] = matmul_bf16_512;
    t.attend[0] = attend_f32_512;
    t.attend[1] = attend_f16_512;
    t.attend[2] = attend_q8_0_512;
    return t;
}

}  // namespace
}  // namespace shoal::kernels::x86
