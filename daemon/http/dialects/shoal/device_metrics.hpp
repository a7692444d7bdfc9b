// What the answering device counts of itself.
#pragma once

#include "daemon/http/dialects/shoal/exposition.hpp"
#include "daemon/requests/figures.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal::http::native {

/// `status` tells the other devices' names, and how far they are.
void add_device(Exposition& out, const DeviceFigures& figures,
                const mesh::messages::StatusReply& status);

}  // namespace shoal::http::native
