// What settings must fulfil together.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"

namespace shoal::config {

struct BrokenRule {
    std::string what;
    std::vector<std::string_view> keys;  ///< the ones to blame, likeliest first
};

/// The first broken rule, or nothing.
std::optional<BrokenRule> broken_rule(const Settings& settings);

}  // namespace shoal::config
