// The process behind a control socket.
#pragma once

#include <string>

namespace shoal::cli {

/// Its id; 0 when nobody listens or we may not connect. Says nothing to it.
int daemon_process(const std::string& socket);

}  // namespace shoal::cli
