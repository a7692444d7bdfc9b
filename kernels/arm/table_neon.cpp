#include "kernels/arm/panel_neon.hpp"
#include "kernels/arm/tables.hpp"

namespace shoal::kernels::arm {

constinit const Table kNeonTable = table<Rows4>("neon");

}  // namespace shoal::kernels::arm
