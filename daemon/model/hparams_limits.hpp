// What a model's description may claim: beyond every published model, and small enough that
// products of two of them fit in 64 bits and buffers made from them stay affordable.
#pragma once

#include <cstdint>

namespace shoal::model::limits {

inline constexpr std::uint32_t kMaxLayers = 1024;
inline constexpr std::uint32_t kMaxWidth = 1U << 18;  ///< residual stream, and all heads together
inline constexpr std::uint32_t kMaxHeads = 4096;
inline constexpr std::uint32_t kMaxHeadDim = 512;  ///< attention keeps heads on the stack
inline constexpr std::uint32_t kMaxFfn = 1U << 20;
inline constexpr std::uint32_t kMaxExperts = 1024;
/// Of all layers together: each is a few pieces of a slice.
inline constexpr std::uint32_t kMaxExpertsInAll = 1U << 16;
inline constexpr std::uint32_t kMaxVocabulary = 1U << 21;
inline constexpr std::uint32_t kMaxContext = 1U << 27;
inline constexpr double kMaxRopeBase = 1e15;
inline constexpr double kMaxRopeScale = 1e6;

}  // namespace shoal::model::limits
