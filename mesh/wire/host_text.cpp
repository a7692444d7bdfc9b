#include "mesh/wire/host_text.hpp"

namespace shoal::mesh::wire {

std::string bracketed(std::string_view host) {
    const bool bare_v6 = host.find(':') != std::string_view::npos && !host.starts_with('[');
    std::string text(host);
    return bare_v6 ? '[' + text + ']' : text;
}

}  // namespace shoal::mesh::wire
