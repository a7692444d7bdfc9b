// Constants of the quantisers that are bit-equal on every ISA. Plain data only: ISA files include
// this header.
#pragma once

#include <cstdint>

namespace shoal::kernels {

/// f32 bits of infinity; magnitudes above it are NaNs.
inline constexpr std::uint32_t kInfinityBits = 0x7f800000u;
/// The quiet NaN that marks a block holding a NaN or an infinity, as f32 and as f16.
inline constexpr std::uint32_t kNanBits = 0x7fc00000u;
inline constexpr std::uint16_t kNanHalf = 0x7e00u;
/// f32 bits of 2^-100. An activation block below it is stored as zeros: 127 / max would overflow.
inline constexpr std::uint32_t kTinyBits = 0x0d800000u;
/// The largest f16; larger scales are capped so that finite input stays finite.
inline constexpr float kMaxHalf = 65504.0f;

}  // namespace shoal::kernels
