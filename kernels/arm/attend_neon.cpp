// Attention, with NEON.
#include "kernels/vector/attend.hpp"

#include "kernels/arm/neon.hpp"
#include "kernels/arm/vector_neon.hpp"

namespace shoal::kernels::arm {

void attend_f32(const AttendTile& tile) noexcept {
    vector::attend_f32<V8>(tile);
}
void attend_f16(const AttendTile& tile) noexcept {
    vector::attend_f16<V8>(tile);
}
void attend_q8_0(const AttendTile& tile) noexcept {
    vector::attend_q8_0<V8>(tile);
}

}  // namespace shoal::kernels::arm
