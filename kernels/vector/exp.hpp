// exp and what is made of it.
#pragma once

#include <cstddef>

namespace shoal::kernels::vector {
namespace {

/// e^x for x <= 0, within 1.1 units in the last place; 0 below ln 2^-126; NaN stays NaN.
/// x = n ln 2 + r with |r| <= ln 2 / 2, and e^r by its Taylor polynomial of degree 7, whose
/// remainder is below 6e-9.
template <class V>
inline typename V::F exp_nonpositive(typename V::F x) noexcept {
    const auto n = V::round(V::mul(x, V::all(0x1.715476p+0f)));
    // The upper part of ln 2 has trailing zeros, so its product with n is exact.
    auto r = V::fma(n, V::all(-0x1.63p-1f), x);
    r = V::fma(n, V::all(0x1.bd0106p-13f), r);
    auto p = V::all(1.0f / 5040);
    p = V::fma(p, r, V::all(1.0f / 720));
    p = V::fma(p, r, V::all(1.0f / 120));
    p = V::fma(p, r, V::all(1.0f / 24));
    p = V::fma(p, r, V::all(1.0f / 6));
    p = V::fma(p, r, V::all(0.5f));
    p = V::fma(p, V::mul(r, r), r);
    p = V::add(p, V::all(1.0f));
    constexpr float kLn2Of126 = -0x1.5d58ap+6f;
    return V::zero_below(V::mul(p, V::power_of_two(n)), x, kLn2Of126);
}

/// 2^x for x <= 0, within 1.3 units in the last place, 1 for 0; 0 below -126; NaN stays NaN.
/// x = n + f with |f| <= 1/2, and 2^f by the polynomial of degree 6 with constant term 1 and the
/// least relative error, 2.2e-8 with these coefficients.
template <class V>
inline typename V::F exp2_nonpositive(typename V::F x) noexcept {
    const auto n = V::round(x);
    const auto f = V::sub(x, n);
    auto p = V::all(0x1.470b4ap-13f);
    p = V::fma(p, f, V::all(0x1.5f7276p-10f));
    p = V::fma(p, f, V::all(0x1.3b270ep-7f));
    p = V::fma(p, f, V::all(0x1.c6ae72p-5f));
    p = V::fma(p, f, V::all(0x1.ebfbe2p-3f));
    p = V::fma(p, f, V::all(0x1.62e432p-1f));
    p = V::fma(p, f, V::all(1.0f));
    return V::zero_below(V::times_power_of_two(p, n), x, -126.0f);
}

template <class V>
inline typename V::F silu_mul(typename V::F gate, typename V::F up) noexcept {
    // With e = exp(-|g|): sigmoid(g) is 1 / (1 + e) for g >= 0 and e / (1 + e) below. Nothing
    // can overflow.
    const auto one = V::all(1.0f);
    const auto e = exp_nonpositive<V>(V::minus_abs(gate));
    const auto product = V::mul(gate, V::select_negative(gate, e, one));
    return V::mul(V::div(product, V::add(one, e)), up);
}

template <class V>
inline void silu_mul(const float* gate, const float* up, float* out, std::size_t n) noexcept {
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        V::store(out + i, silu_mul<V>(V::load(gate + i), V::load(up + i)));
    }
    if (i < n) {
        // The same vector code, so that an element's value does not depend on its place.
        const std::size_t rest = n - i;
        const auto g = V::load_first(gate + i, rest);
        V::store_first(out + i, silu_mul<V>(g, V::load_first(up + i, rest)), rest);
    }
}

}  // namespace
}  // namespace shoal::kernels::vector
