// How each format's panels (kernels/panel.hpp) become vectors, the same on all vector ISAs.
//
// What an ISA gives, as a struct V of static functions:
//   kLanes                    rows of a vector of floats: 4, 8 or 16
//   kSigned                   its integer products take signed codes (else unsigned ones)
//   kMatrixProducts           many rows of x go by MatrixProducts (panel_matmul.hpp)
//   F, B                      kLanes floats; kLanes x 4 bytes
//   B load(at)
//   B bits<N>(b, shift)       bits [shift, shift + N) of each byte; shift is 0..7
//   B up<N>(b)                each byte shifted left; Requires: no bit leaves its byte
//   B either(a, b)            bitwise or
//   B lookup(table, b)        table[b] of 16 bytes; Requires: bytes below 16
//   F from_f16(at, row), from_u8(at, row), from_i8(at, row), from_low_nibbles(at, row),
//     from_high_nibbles(at, row)      of a panel's values at `at`, those of kLanes rows from `row`
//   F mul(a, b), negated(a)
#pragma once

#include "kernels/blocks.hpp"
#include "kernels/panel.hpp"

namespace shoal::kernels::vector {
namespace {

/// The value of code zero is -2^kShift; none when codes are values.
constexpr int kNoZero = -1;

/// A format says
///   kBits         of its codes as the products see them
///   kZeroShift    the value of code zero is -2^kZeroShift; kNoZero when codes are values
///   kParts        runs of columns of a group that have a scale each: 1 or 2
///   kMinimum      each part also has a minimum
///   scales(head, group, row, s, m)   those of rows [row, row + kLanes), exact in f32: an f16
///                 mantissa of 11 bits times at most 8 bits
///   code(codes, slab)                the codes of a slab, from `row` on when `codes` starts there
template <class V, DType Type>
struct FormatBase {
    using F = typename V::F;
    using B = typename V::B;
    static constexpr DType kType = Type;
    static constexpr PanelShape kShape = panel_shape(Type);
    static constexpr std::size_t kParts = 1;
    static constexpr bool kMinimum = false;
    static constexpr int kZeroShift = kNoZero;

    static const std::byte* at(const std::byte* codes, std::size_t chunk) noexcept {
        return codes + chunk * kSlabBytes;
    }
    static B nibbles(const std::byte* codes, std::size_t slab) noexcept {
        return V::template bits<4>(V::load(at(codes, slab % 4)), slab < 4 ? 0 : 4);
    }
    static B pairs(const std::byte* codes, std::size_t slab) noexcept {
        return V::template bits<2>(V::load(at(codes, slab / 4)), slab % 4 * 2);
    }
    static B bit(const std::byte* codes, std::size_t slab) noexcept {
        return V::template bits<1>(V::load(codes), slab);
    }
    /// Requires: codes below 2^Shift in `low`.
    template <int Shift>
    static B join(B low, B high) noexcept {
        return V::either(low, V::template up<Shift>(high));
    }
};

/// What a superblock starts with: the scale, and minus the scale of minimums.
constexpr std::size_t kHeads = 2;

/// That of rows [row, row + kLanes), converted once for all groups that follow: an ARM core has one
/// pipe that converts.
template <class V, class Format>
inline void load_head(const std::byte* superblock, std::size_t row, typename V::F* head) noexcept {
    constexpr std::size_t kBytes = 2 * kPanelRows;
    if constexpr (Format::kShape.head_bytes >= kBytes) head[0] = V::from_f16(superblock, row);
    if constexpr (Format::kShape.head_bytes == 2 * kBytes) {
        head[1] = V::negated(V::from_f16(superblock + kBytes, row));
    }
}

/// Where the groups from `begin` on end that follow one head.
template <class Format>
constexpr std::size_t head_end(std::size_t begin, std::size_t end) noexcept {
    const std::size_t next = (begin / kSuperblockGroups + 1) * kSuperblockGroups;
    return Format::kShape.head_bytes != 0 && next < end ? next : end;
}

/// One f16 scale a group.
template <class V, DType Type>
struct Scaled : FormatBase<V, Type> {
    static void scales(const typename V::F*, const std::byte* group, std::size_t row,
                       typename V::F* s, typename V::F*) noexcept {
        s[0] = V::from_f16(group, row);
    }
};

/// An f16 scale and an f16 minimum a group.
template <class V, DType Type>
struct ScaledAbove : FormatBase<V, Type> {
    static constexpr bool kMinimum = true;
    static void scales(const typename V::F*, const std::byte* group, std::size_t row,
                       typename V::F* s, typename V::F* m) noexcept {
        s[0] = V::from_f16(group, row);
        m[0] = V::from_f16(group + 2 * kPanelRows, row);
    }
};

template <class V>
struct Q4_0 : Scaled<V, DType::q4_0> {
    static constexpr int kBits = 4;
    static constexpr int kZeroShift = 3;
    static typename V::B code(const std::byte* codes, std::size_t slab) noexcept {
        return Q4_0::nibbles(codes, slab);
    }
};

template <class V>
struct Q4_1 : ScaledAbove<V, DType::q4_1> {
    static constexpr int kBits = 4;
    static typename V::B code(const std::byte* codes, std::size_t slab) noexcept {
        return Q4_1::nibbles(codes, slab);
    }
};

template <class V>
struct Q5_0 : Scaled<V, DType::q5_0> {
    static constexpr int kBits = 5;
    static constexpr int kZeroShift = 4;
    static typename V::B code(const std::byte* codes, std::size_t slab) noexcept {
        return Q5_0::template join<4>(Q5_0::nibbles(codes, slab), Q5_0::bit(codes + 256, slab));
    }
};

template <class V>
struct Q5_1 : ScaledAbove<V, DType::q5_1> {
    static constexpr int kBits = 5;
    static typename V::B code(const std::byte* codes, std::size_t slab) noexcept {
        return Q5_1::template join<4>(Q5_1::nibbles(codes, slab), Q5_1::bit(codes + 256, slab));
    }
};

template <class V>
struct Q8_0 : Scaled<V, DType::q8_0> {
    static constexpr int kBits = 8;
    static constexpr int kZeroShift = V::kSigned ? kNoZero : 7;
    static typename V::B code(const std::byte* codes, std::size_t slab) noexcept {
        return V::load(Q8_0::at(codes, slab));
    }
};

/// The values of the non-linear types as this ISA takes its codes.
template <class V>
struct Iq4Table {
    alignas(16) std::uint8_t bytes[16];
    constexpr Iq4Table() noexcept : bytes() {
        for (std::size_t i = 0; i < 16; ++i) {
            bytes[i] = static_cast<std::uint8_t>(kIq4Values[i] + (V::kSigned ? 0 : 128));
        }
    }
};
template <class V>
constexpr Iq4Table<V> kIq4Table{};

template <class V>
struct IQ4_NL : Scaled<V, DType::iq4_nl> {
    static constexpr int kBits = 8;
    static constexpr int kZeroShift = V::kSigned ? kNoZero : 7;
    static typename V::B code(const std::byte* codes, std::size_t slab) noexcept {
        return V::lookup(kIq4Table<V>.bytes, IQ4_NL::nibbles(codes, slab));
    }
};

template <class V>
struct IQ4_XS : FormatBase<V, DType::iq4_xs> {
    static constexpr int kBits = 8;
    static constexpr int kZeroShift = V::kSigned ? kNoZero : 7;
    static void scales(const typename V::F* head, const std::byte* group, std::size_t row,
                       typename V::F* s, typename V::F*) noexcept {
        s[0] = V::mul(head[0], V::from_i8(group, row));
    }
    static typename V::B code(const std::byte* codes, std::size_t slab) noexcept {
        return V::lookup(kIq4Table<V>.bytes, IQ4_XS::nibbles(codes, slab));
    }
};

/// K-quants with an integer scale and minimum a group.
template <class V, DType Type>
struct SixBitScales : FormatBase<V, Type> {
    static constexpr bool kMinimum = true;
    static void scales(const typename V::F* head, const std::byte* group, std::size_t row,
                       typename V::F* s, typename V::F* m) noexcept {
        s[0] = V::mul(head[0], V::from_u8(group, row));
        m[0] = V::mul(head[1], V::from_u8(group + kPanelRows, row));
    }
};

template <class V>
struct Q4_K : SixBitScales<V, DType::q4_k> {
    static constexpr int kBits = 4;
    static typename V::B code(const std::byte* codes, std::size_t slab) noexcept {
        return Q4_K::nibbles(codes, slab);
    }
};

template <class V>
struct Q5_K : SixBitScales<V, DType::q5_k> {
    static constexpr int kBits = 5;
    static typename V::B code(const std::byte* codes, std::size_t slab) noexcept {
        return Q5_K::template join<4>(Q5_K::nibbles(codes, slab), Q5_K::bit(codes + 256, slab));
    }
};

/// K-quants with an integer scale for each half of a group.
template <class V, DType Type>
struct HalfScales : FormatBase<V, Type> {
    static constexpr std::size_t kParts = 2;
    static void scales(const typename V::F* head, const std::byte* group, std::size_t row,
                       typename V::F* s, typename V::F*) noexcept {
        s[0] = V::mul(head[0], V::from_i8(group, row));
        s[1] = V::mul(head[0], V::from_i8(group + kPanelRows, row));
    }
};

template <class V>
struct Q6_K : HalfScales<V, DType::q6_k> {
    static constexpr int kBits = 6;
    static constexpr int kZeroShift = 5;
    static typename V::B code(const std::byte* codes, std::size_t slab) noexcept {
        return Q6_K::template join<4>(Q6_K::nibbles(codes, slab), Q6_K::pairs(codes + 256, slab));
    }
};

template <class V>
struct Q3_K : HalfScales<V, DType::q3_k> {
    static constexpr int kBits = 3;
    static constexpr int kZeroShift = 2;
    static typename V::B code(const std::byte* codes, std::size_t slab) noexcept {
        return Q3_K::template join<2>(Q3_K::pairs(codes, slab), Q3_K::bit(codes + 128, slab));
    }
};

template <class V>
struct Q2_K : FormatBase<V, DType::q2_k> {
    static constexpr int kBits = 2;
    static constexpr std::size_t kParts = 2;
    static constexpr bool kMinimum = true;
    static void scales(const typename V::F* head, const std::byte* group, std::size_t row,
                       typename V::F* s, typename V::F* m) noexcept {
        for (std::size_t half = 0; half < 2; ++half) {
            const std::byte* at = group + half * kPanelRows;
            s[half] = V::mul(head[0], V::from_low_nibbles(at, row));
            m[half] = V::mul(head[1], V::from_high_nibbles(at, row));
        }
    }
    static typename V::B code(const std::byte* codes, std::size_t slab) noexcept {
        return Q2_K::pairs(codes, slab);
    }
};

}  // namespace
}  // namespace shoal::kernels::vector
