// Asks the compiler to unroll the loop that follows. The register tiles of the ISA kernels are
// small arrays of vectors, which live in registers only when every index is a constant.
#pragma once

#if defined(__clang__)
#define SHOAL_UNROLL _Pragma("clang loop unroll(full)")
#else
#define SHOAL_UNROLL _Pragma("GCC unroll 16")
#endif
