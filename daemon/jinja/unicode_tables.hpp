// Tables behind unicode.hpp. Internal to this folder.
#pragma once

#include <cstdint>
#include <span>

namespace shoal::jinja::unicode {

/// Code points first, first + step, ... last, each of which becomes itself + delta.
struct CaseRange {
    std::int32_t first, last, step, delta;
};
struct Range {
    std::int32_t first, last;
};

/// All ascending.
std::span<const CaseRange> lower_ranges() noexcept;
std::span<const CaseRange> upper_ranges() noexcept;
std::span<const Range> alphabetic_ranges() noexcept;
std::span<const Range> unprintable_ranges() noexcept;

}  // namespace shoal::jinja::unicode
