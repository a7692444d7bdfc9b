// Which Shoal this is.
#pragma once

namespace shoal {

/// "0.1.0", from the build.
const char* version() noexcept;

}  // namespace shoal
