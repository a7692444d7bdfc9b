// What each answer has of its own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace shoal::http {

/// `prefix` and 24 random hexadecimal digits.
std::string random_id(std::string_view prefix);
/// For generations that were asked for without a seed.
std::uint64_t random_seed();

}  // namespace shoal::http
