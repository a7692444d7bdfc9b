// Names and addresses of hosts as texts.
#pragma once

#include <string>
#include <string_view>

namespace shoal::mesh::wire {

/// The host as it stands before ":PORT": an IPv6 address gets brackets, if it has none.
std::string bracketed(std::string_view host);

}  // namespace shoal::mesh::wire
