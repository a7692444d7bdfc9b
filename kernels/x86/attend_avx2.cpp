// Attention, with AVX2.
#include "kernels/vector/attend.hpp"

#include "kernels/x86/avx2.hpp"
#include "kernels/x86/vector_avx2.hpp"

namespace shoal::kernels::x86 {

void attend_f32(const AttendTile& tile) noexcept {
    vector::attend_f32<V8>(tile);
}
void attend_f16(const AttendTile& tile) noexcept {
    vector::attend_f16<V8>(tile);
}
void attend_q8_0(const AttendTile& tile) noexcept {
    vector::attend_q8_0<V8>(tile);
}

}  // namespace shoal::kernels::x86
