// Packing of weights, used by every ARM table: the panels are the same.
#include "kernels/arm/neon.hpp"
#include "kernels/vector/pack.hpp"

namespace shoal::kernels::arm {

void pack_q4_0(const Pack& p) noexcept {
    vector::pack<vector::PackQ4_0>(p);
}
void pack_q4_1(const Pack& p) noexcept {
    vector::pack<vector::PackQ4_1>(p);
}
void pack_q5_0(const Pack& p) noexcept {
    vector::pack<vector::PackQ5_0>(p);
}
void pack_q5_1(const Pack& p) noexcept {
    vector::pack<vector::PackQ5_1>(p);
}
void pack_q8_0(const Pack& p) noexcept {
    vector::pack<vector::PackQ8_0<true>>(p);
}
void pack_q2_k(const Pack& p) noexcept {
    vector::pack<vector::PackQ2_K>(p);
}
void pack_q3_k(const Pack& p) noexcept {
    vector::pack<vector::PackQ3_K>(p);
}
void pack_q4_k(const Pack& p) noexcept {
    vector::pack<vector::PackQ4_K>(p);
}
void pack_q5_k(const Pack& p) noexcept {
    vector::pack<vector::PackQ5_K>(p);
}
void pack_q6_k(const Pack& p) noexcept {
    vector::pack<vector::PackQ6_K>(p);
}
void pack_iq4_nl(const Pack& p) noexcept {
    vector::pack<vector::PackIQ4_NL>(p);
}
void pack_iq4_xs(const Pack& p) noexcept {
    vector::pack<vector::PackIQ4_XS>(p);
}

}  // namespace shoal::kernels::arm
