#include "mesh/messages/warning.hpp"

namespace shoal::mesh::messages {

const char* name(Severity severity) noexcept {
    switch (severity) {
        case Severity::notice:
            return "notice";
        case Severity::warning:
            return "warning";
        case Severity::error:
            return "error";
    }
    return "?";
}

}  // namespace shoal::mesh::messages
