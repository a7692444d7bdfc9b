// Which table this CPU gets. Only this file knows which ISAs the build holds.
#include "kernels/kernels.hpp"

#include <bit>

#include "kernels/ref/ref.hpp"

#ifdef SHOAL_KERNELS_AVX2
#include <cpuid.h>

#include "kernels/x86/avx2.hpp"
#endif
#ifdef SHOAL_KERNELS_NEON
#include <sys/auxv.h>

#include "kernels/arm/neon.hpp"
#endif

namespace shoal::kernels {

static_assert(std::endian::native == std::endian::little,
              "blocks are read as they lie in the file, which is little-endian");

namespace {

#ifdef SHOAL_KERNELS_AVX2
bool has_avx2() noexcept {
    // The built-in also checks that the operating system saves the wide registers.
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return false;
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

#ifdef SHOAL_KERNELS_NEON
bool has_neon() noexcept {
    constexpr unsigned long kHwcapAsimd = 1ul << 1;
    return (getauxval(AT_HWCAP) & kHwcapAsimd) != 0;
}
#endif

}  // namespace

Table::MatmulFn Table::matmul_for(DType type) const noexcept {
    switch (type) {
        case DType::f32:
            return matmul_f32;
        case DType::f16:
            return matmul_f16;
        case DType::bf16:
            return matmul_bf16;
        case DType::q4_0:
            return matmul_q4_0;
        case DType::q4_1:
            return matmul_q4_1;
        case DType::q5_0:
            return matmul_q5_0;
        case DType::q5_1:
            return matmul_q5_1;
        case DType::q8_0:
            return matmul_q8_0;
        case DType::q4_k:
            return matmul_q4_k;
        case DType::q5_k:
            return matmul_q5_k;
        case DType::q6_k:
            return matmul_q6_k;
    }
    return nullptr;
}

const Table& reference() noexcept {
    return ref::kTable;
}

const Table* table_for(Isa isa) noexcept {
    switch (isa) {
        case Isa::ref:
            return &ref::kTable;
        case Isa::avx2:
#ifdef SHOAL_KERNELS_AVX2
            if (has_avx2()) return &x86::kAvx2Table;
#endif
            return nullptr;
        case Isa::neon:
#ifdef SHOAL_KERNELS_NEON
            if (has_neon()) return &arm::kNeonTable;
#endif
            return nullptr;
    }
    return nullptr;
}

Isa best_isa() noexcept {
    if (table_for(Isa::avx2) != nullptr) return Isa::avx2;
    if (table_for(Isa::neon) != nullptr) return Isa::neon;
    return Isa::ref;
}

const char* name(Isa isa) noexcept {
    switch (isa) {
        case Isa::ref:
            return "ref";
        case Isa::avx2:
            return "avx2";
        case Isa::neon:
            return "neon";
    }
    return "unknown";
}

}  // namespace shoal::kernels
