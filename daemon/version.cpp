#include "daemon/version.hpp"

namespace shoal {

const char* version() noexcept {
    return SHOAL_VERSION;
}

}  // namespace shoal
