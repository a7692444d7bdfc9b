// What a GGUF file may claim. Far beyond every published model, small enough that a hostile file
// cannot make a reader allocate more than about 300 MB or spend more than seconds.
#pragma once

#include <cstdint>

namespace shoal::model::limits {

inline constexpr std::uint32_t kMinVersion = 2;
inline constexpr std::uint32_t kMaxVersion = 3;

/// Everything before the tensor data. The largest vocabularies take about 20 MB.
inline constexpr std::uint64_t kMaxHeaderBytes = std::uint64_t{128} << 20;

inline constexpr std::uint64_t kMaxKeys = 65536;
/// The specification's own limit.
inline constexpr std::uint64_t kMaxKeyBytes = 65535;
/// Chat templates take kilobytes; an embedded tokenizer.json takes 20 MB.
inline constexpr std::uint64_t kMaxStringBytes = std::uint64_t{64} << 20;
/// Items of one array, and of all arrays together: numbers are widened to 8 bytes, strings take
/// a 16-byte view.
inline constexpr std::uint64_t kMaxArrayItems = std::uint64_t{1} << 21;
inline constexpr std::uint64_t kMaxArrayItemsTotal = std::uint64_t{1} << 23;

inline constexpr std::uint64_t kMaxTensors = 65536;
/// The specification's own limits.
inline constexpr std::uint64_t kMaxTensorNameBytes = 64;
inline constexpr std::uint32_t kMaxDims = 4;

inline constexpr std::uint64_t kDefaultAlignment = 32;
inline constexpr std::uint64_t kMinAlignment = 1;
inline constexpr std::uint64_t kMaxAlignment = std::uint64_t{1} << 21;

}  // namespace shoal::model::limits
