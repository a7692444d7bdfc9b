#include "kernels/arm/panel_neon.hpp"
#include "kernels/arm/tables.hpp"

namespace shoal::kernels::arm {

constinit const Table kDotprodTable = table<Rows4>("dotprod");

}  // namespace shoal::kernels::arm
