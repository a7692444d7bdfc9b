// Measured links as they are kept from one start of a daemon to the next. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "daemon/plan/link_book.hpp"

namespace shoal {

/// Of more pairs the last measured are kept.
inline constexpr std::size_t kMaxKeptLinks = 1024;

/// JSON, a pair on each line.
std::string to_text(const KnownLinks& links);
/// What to_text() wrote, with KnownLink::measured at the beginning of time: before this start.
/// Throws std::runtime_error, which says what is wrong, when the text is none of this format or
/// links are not plausible.
KnownLinks links_from_text(std::string_view text);

}  // namespace shoal
