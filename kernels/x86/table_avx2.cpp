#include "kernels/x86/panel_avx2.hpp"
#include "kernels/x86/tables.hpp"

namespace shoal::kernels::x86 {

constinit const Table kAvx2Table = table<Rows8>("avx2");

}  // namespace shoal::kernels::x86
