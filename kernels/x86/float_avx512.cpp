// Products of floats, with AVX-512 (F, BW, VL, DQ).
#include "kernels/vector/float_block.hpp"
#include "kernels/x86/avx2.hpp"
#include "kernels/x86/vector_avx512.hpp"

namespace shoal::kernels::x86 {
namespace {

/// Rows of x from which on it pays to widen weights first. Fewer wait for the weights, which eight
/// lanes take as fast as memory gives them.
constexpr std::size_t kManyRows = 12;

template <template <class> class Element>
void matmul(const Matmul& m, Table::MatmulFn few_rows) noexcept {
    if (m.rows < kManyRows) return few_rows(m);
    vector::matmul_float_blocks<V8, V16, Element<V8>>(m);
}

}  // namespace

void matmul_f32_512(const Matmul& m) noexcept {
    matmul<vector::F32>(m, matmul_f32);
}
void matmul_f16_512(const Matmul& m) noexcept {
    matmul<vector::F16>(m, matmul_f16);
}
void matmul_bf16_512(const Matmul& m) noexcept {
    matmul<vector::Bf16>(m, matmul_bf16);
}

}  // namespace shoal::kernels::x86
