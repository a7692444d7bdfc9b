// What sampling needs of a row of logits, over eight lanes.
#pragma once

#include <math.h>
#include <string.h>

#include <cfloat>
#include <cstddef>
#include <cstdint>

#include "kernels/draw.hpp"
#include "kernels/kernels.hpp"
#include "kernels/vector/exp.hpp"

namespace shoal::kernels::vector {
namespace {

/// The last n < 8 elements, and behind them `rest`.
template <class V>
inline typename V::F load_last(const float* x, std::size_t n, float rest) noexcept {
    float values[8];
    for (float& value : values) value = rest;
    memcpy(values, x, n * sizeof values[0]);
    return V::load(values);
}

/// Each x by way of fn; NaN becomes the lowest float.
template <class V, class Fn>
inline void for_logits(float* x, std::size_t n, Fn&& fn) noexcept {
    const auto lowest = V::all(-FLT_MAX);
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const auto v = V::load(x + i);
        V::store(x + i, V::select_nan(v, lowest, fn(v)));
    }
    if (i < n) {
        const auto v = V::load_first(x + i, n - i);
        V::store_first(x + i, V::select_nan(v, lowest, fn(v)), n - i);
    }
}

template <class V>
inline void scale_logits(float* x, std::size_t n, float temperature) noexcept {
    // Division takes most of the time, and x / 1 is x.
    if (temperature == 1.0f) {
        for_logits<V>(x, n, [](typename V::F v) noexcept { return v; });
    } else {
        const auto t = V::all(temperature);
        for_logits<V>(x, n, [t](typename V::F v) noexcept { return V::div(v, t); });
    }
}

template <class V>
inline void block_maxima(const float* x, std::size_t n, float* max) noexcept {
    static_assert(kLogitBlock % 32 == 0);
    std::size_t i = 0;
    for (; i + kLogitBlock <= n; i += kLogitBlock) {
        auto a = V::load(x + i), b = V::load(x + i + 8);
        auto c = V::load(x + i + 16), d = V::load(x + i + 24);
        for (std::size_t k = 32; k < kLogitBlock; k += 32) {
            const float* at = x + i + k;
            a = V::max_number(V::load(at), a);
            b = V::max_number(V::load(at + 8), b);
            c = V::max_number(V::load(at + 16), c);
            d = V::max_number(V::load(at + 24), d);
        }
        *max++ = V::max(V::max_number(V::max_number(a, b), V::max_number(c, d)));
    }
    if (i == n) return;
    // A block may hold nothing but minus infinities: what pads it must be no more.
    auto a = V::all(-HUGE_VALF);
    for (; i + 8 <= n; i += 8) a = V::max_number(V::load(x + i), a);
    if (i < n) a = V::max_number(load_last<V>(x + i, n - i, -HUGE_VALF), a);
    *max = V::max(a);
}

template <class V>
inline double sum_exp(const float* x, std::size_t n, float max) noexcept {
    const auto m = V::all(max);
    double total = 0;
    for (std::size_t begin = 0; begin < n; begin += kLogitBlock) {
        const std::size_t end = n - begin < kLogitBlock ? n : begin + kLogitBlock;
        auto a = V::zero(), b = V::zero();
        std::size_t i = begin;
        for (; i + 16 <= end; i += 16) {
            a = V::add(a, exp_nonpositive<V>(V::sub(V::load(x + i), m)));
            b = V::add(b, exp_nonpositive<V>(V::sub(V::load(x + i + 8), m)));
        }
        for (; i < end; i += 8) {
            const auto v = i + 8 <= end ? V::load(x + i) : load_last<V>(x + i, end - i, -FLT_MAX);
            a = V::add(a, exp_nonpositive<V>(V::sub(v, m)));
        }
        total += static_cast<double>(V::sum(V::add(a, b)));
    }
    return total;
}

/// The middle of draw_mix: what is between its first and its last shift.
template <class V>
inline typename V::U draw_mix_middle(typename V::U x) noexcept {
    x = V::multiply(x, V::all_u32(kDrawMultipliers[0]));
    x = V::exclusive_or(x, V::template shift_right<15>(x));
    return V::multiply(x, V::all_u32(kDrawMultipliers[1]));
}

/// With s(x) = x ^ (x >> 16), which undoes itself, and m the middle of draw_mix, a hash is
/// s(m(s(s(m(s(token ^ first))) ^ second))) = s(m(m(s(token) ^ s(first)) ^ s(second))).
/// The last s leaves the upper half alone, so it is left out where that half decides.
template <class V>
inline std::size_t find_draw(DrawKey key, std::uint32_t first, std::size_t n,
                             std::uint32_t limit) noexcept {
    const auto most = V::all_u32(limit | 0xffff);
    const auto key_first = V::all_u32(key.first ^ key.first >> 16);
    const auto key_second = V::all_u32(key.second ^ key.second >> 16);
    const auto hash = [&](typename V::U token) noexcept {
        token = V::exclusive_or(token, V::template shift_right<16>(token));
        token = draw_mix_middle<V>(V::exclusive_or(token, key_first));
        return draw_mix_middle<V>(V::exclusive_or(token, key_second));
    };
    const auto step = V::all_u32(static_cast<std::uint32_t>(V::kLanes));
    auto token = V::count_from(first);
    std::size_t i = 0;
    while (i < n) {
        // Two chains of multiplications at a time hide each other's latency.
        std::size_t end = i;
        for (; end + 2 * V::kLanes <= n; end += 2 * V::kLanes) {
            const auto next = V::sum_u32(token, step);
            if (V::any_at_most(V::smaller(hash(token), hash(next)), most)) break;
            token = V::sum_u32(next, step);
        }
        // What broke the loop, or remains, is decided by the hash as it is defined.
        i = end;
        end = n - i < 2 * V::kLanes ? n : i + 2 * V::kLanes;
        for (; i < end; ++i) {
            if (draw_hash(key, first + static_cast<std::uint32_t>(i)) <= limit) return i;
        }
        token = V::sum_u32(V::sum_u32(token, step), step);
    }
    return n;
}

}  // namespace
}  // namespace shoal::kernels::vector
