// The kernels that all vector ISAs share, with NEON: float products, silu.
#include "kernels/arm/neon.hpp"
#include "kernels/arm/vector_neon.hpp"
#include "kernels/vector/exp.hpp"
#include "kernels/vector/matmul_float.hpp"

namespace shoal::kernels::arm {

void matmul_f32(const Matmul& m) noexcept {
    vector::matmul_float<V8, vector::F32<V8>>(m);
}
void matmul_f16(const Matmul& m) noexcept {
    vector::matmul_float<V8, vector::F16<V8>>(m);
}
void matmul_bf16(const Matmul& m) noexcept {
    vector::matmul_float<V8, vector::Bf16<V8>>(m);
}

void silu_mul(const float* gate, const float* up, float* out, std::size_t n) noexcept {
    vector::silu_mul<V8>(gate, up, out, n);
}

}  // namespace shoal::kernels::arm
