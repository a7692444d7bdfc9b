#include "kernels/x86/panel_avx2.hpp"
#include "kernels/x86/tables.hpp"

namespace shoal::kernels::x86 {

constinit const Table kAvxVnniTable = table<Rows8>("avx_vnni");

}  // namespace shoal::kernels::x86
