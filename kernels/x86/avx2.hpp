// The AVX2 kernels (with FMA and F16C). Contracts are those of kernels/kernels.hpp.
//
// Files of this folder are compiled with flags that other CPUs cannot run. They include
// intrinsics, C headers and plain data only, and everything but the functions below is in an
// unnamed namespace: an inline function emitted here could be the copy that the linker keeps.
#pragma once

#include "kernels/kernels.hpp"

namespace shoal::kernels::x86 {

void quantize_activations(const float* x, ActivationBlock* out, std::size_t n) noexcept;

void matmul_f32(const Matmul& m) noexcept;
void matmul_f16(const Matmul& m) noexcept;
void matmul_bf16(const Matmul& m) noexcept;
void matmul_f32_512(const Matmul& m) noexcept;  // these with AVX-512
void matmul_f16_512(const Matmul& m) noexcept;
void matmul_bf16_512(const Matmul& m) noexcept;

void rms_norm(const float* x, const float* w, float* out, std::size_t n, float eps) noexcept;
void rope(float* x, std::size_t heads, std::size_t head_dim, std::size_t rot, RopeKind kind,
          const float* cos, const float* sin) noexcept;
void silu_mul(const float* gate, const float* up, float* out, std::size_t n) noexcept;
void add(float* x, const float* y, std::size_t n) noexcept;

void attend_f32(const AttendTile& tile) noexcept;
void attend_f16(const AttendTile& tile) noexcept;
void attend_q8_0(const AttendTile& tile) noexcept;
void attend_f32_512(const AttendTile& tile) noexcept;  // these with AVX-512
void attend_f16_512(const AttendTile& tile) noexcept;
void attend_q8_0_512(const AttendTile& tile) noexcept;

void f32_to_f16(const float* x, std::uint16_t* out, std::size_t n) noexcept;
void f16_to_f32(const std::uint16_t* x, float* out, std::size_t n) noexcept;
void quantize_q8_0(const float* x, std::byte* out, std::size_t n) noexcept;
void accumulate_q8_0(const std::byte* x, float* acc, std::size_t n) noexcept;
void accumulate_f16(const std::uint16_t* x, float* acc, std::size_t n) noexcept;

void scale_logits(float* x, std::size_t n, float temperature) noexcept;
void block_maxima(const float* x, std::size_t n, float* max) noexcept;
double sum_exp(const float* x, std::size_t n, float max) noexcept;
std::size_t find_draw(DrawKey key, std::uint32_t first, std::size_t n,
                      std::uint32_t limit) noexcept;

extern const Table kAvx2Table;
extern const Table kAvxVnniTable;
extern const Table kAvx512Table;
extern const Table kAvx512VnniTable;

}  // namespace shoal::kernels::x86
