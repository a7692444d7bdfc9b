#include "kernels/x86/panel_avx512.hpp"
#include "kernels/x86/tables.hpp"

namespace shoal::kernels::x86 {

constinit const Table kAvx512VnniTable = table_512<Rows16>("avx512_vnni");

}  // namespace shoal::kernels::x86
