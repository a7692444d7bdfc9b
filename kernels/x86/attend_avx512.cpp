// Attention, with AVX-512 (F, BW, VL, DQ).
#include "kernels/vector/attend.hpp"

#include "kernels/x86/avx2.hpp"
#include "kernels/x86/vector_avx512.hpp"

namespace shoal::kernels::x86 {

void attend_f32_512(const AttendTile& tile) noexcept {
    vector::attend_f32<V16>(tile);
}
void attend_f16_512(const AttendTile& tile) noexcept {
    vector::attend_f16<V16>(tile);
}
void attend_q8_0_512(const AttendTile& tile) noexcept {
    vector::attend_q8_0<V16>(tile);
}

}  // namespace shoal::kernels::x86
