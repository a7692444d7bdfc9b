// Code that the vector ISAs share, written once over eight f32 lanes; attention and blocks of float
// products over eight or more.
//
// Each ISA supplies a type V of static functions on a vector F of eight floats: zero, all, load,
// load_first, store, store_first, add, sub, mul, div, fma, max_number, sum, max, round,
// power_of_two, times_power_of_two, zero_below, minus_abs, select_negative, select_nan, load_s8,
// all_f16, and load_f16/load_bf16 with their _first forms; and a type U of eight 32-bit integers
// with all_u32, sum_u32, count_from, exclusive_or, multiply, shift_right, smaller, any_at_most.
// float_block.hpp asks for more of the V that multiplies: repeat (eight floats, again in each
// eight lanes), keep (a value stays in its register), kFloatVectors and kFloatRows (of a tile).
// Every function rounds as IEEE 754 says and `sum` adds the lanes in one order, so these kernels
// are bit-equal on all ISAs that use them.
//
// V has internal linkage in each file, and so has everything instantiated with it.
#pragma once

#include <cstddef>

namespace shoal::kernels::vector {
namespace {

/// Elements of a row in memory: eight of them, or the first n < 8 with zeros behind.
template <class V>
struct F32 {
    using F = typename V::F;
    static constexpr std::size_t kBytes = 4;
    static F load(const std::byte* at) noexcept { return V::load(floats(at)); }
    static F load_first(const std::byte* at, std::size_t n) noexcept {
        return V::load_first(floats(at), n);
    }
    static const float* floats(const void* at) noexcept { return static_cast<const float*>(at); }
};

template <class V>
struct F16 {
    using F = typename V::F;
    static constexpr std::size_t kBytes = 2;
    static F load(const std::byte* at) noexcept { return V::load_f16(at); }
    static F load_first(const std::byte* at, std::size_t n) noexcept {
        return V::load_f16_first(at, n);
    }
};

template <class V>
struct Bf16 {
    using F = typename V::F;
    static constexpr std::size_t kBytes = 2;
    static F load(const std::byte* at) noexcept { return V::load_bf16(at); }
    static F load_first(const std::byte* at, std::size_t n) noexcept {
        return V::load_bf16_first(at, n);
    }
};

}  // namespace
}  // namespace shoal::kernels::vector
