// The header Accept, where one path has two forms of an answer.
#pragma once

#include <string_view>

namespace shoal::http {

/// Whether `accept` names `type` itself, with whatever weight. "*/*" does not: programs send that
/// without a thought.
bool names_type(std::string_view accept, std::string_view type) noexcept;

}  // namespace shoal::http
