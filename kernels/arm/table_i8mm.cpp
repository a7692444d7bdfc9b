#include "kernels/arm/panel_i8mm.hpp"
#include "kernels/arm/tables.hpp"

namespace shoal::kernels::arm {

constinit const Table kI8mmTable = table<RowsI8mm>("i8mm");

}  // namespace shoal::kernels::arm
