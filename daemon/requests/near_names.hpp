// Names that somebody may have meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace shoal {

/// Those of `names` that are a few letters from `wanted`, begin with it or hold it, the nearest
/// first; at most three, each once. Upper and lower case are the same.
std::vector<std::string> near_names(std::string_view wanted, const std::vector<std::string>& names);

}  // namespace shoal
