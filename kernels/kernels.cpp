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
// The built-ins also check that the operating system saves the wide registers.
bool has_avx2() noexcept {
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return false;
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

#ifdef SHOAL_KERNELS_AVX512
bool has_avx_vnni() noexcept {
    constexpr unsigned kAvxVnni = 1u << 4;
    unsigned a = 0, b = 0, c = 0, d = 0;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & kAvxVnni) != 0;
}

bool has_avx512() noexcept {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

bool has_avx512_vnni() noexcept {
    return has_avx512() && __builtin_cpu_supports("avx512vnni");
}
#endif

#ifdef SHOAL_KERNELS_NEON
bool has_neon() noexcept {
    constexpr unsigned long kHwcapAsimd = 1ul << 1;
    return (getauxval(AT_HWCAP) & kHwcapAsimd) != 0;
}

bool has_dotprod() noexcept {
    constexpr unsigned long kHwcapAsimdDp = 1ul << 20;
    return has_neon() && (getauxval(AT_HWCAP) & kHwcapAsimdDp) != 0;
}

bool has_i8mm() noexcept {
    constexpr unsigned long kHwcap2I8mm = 1ul << 13;
    return has_dotprod() && (getauxval(AT_HWCAP2) & kHwcap2I8mm) != 0;
}
#endif

}  // namespace

const Table& reference() noexcept {
    return ref::kTable;
}

const Table* table_for(Isa isa) noexcept {
    switch (isa) {
        case Isa::ref:
            return &ref::kTable;
#ifdef SHOAL_KERNELS_AVX2
        case Isa::avx2:
            return has_avx2() ? &x86::kAvx2Table : nullptr;
#endif
#ifdef SHOAL_KERNELS_AVX512
        case Isa::avx_vnni:
            return has_avx_vnni() ? &x86::kAvxVnniTable : nullptr;
        case Isa::avx512:
            return has_avx512() ? &x86::kAvx512Table : nullptr;
        case Isa::avx512_vnni:
            return has_avx512_vnni() ? &x86::kAvx512VnniTable : nullptr;
#endif
#ifdef SHOAL_KERNELS_NEON
        case Isa::neon:
            return has_neon() ? &arm::kNeonTable : nullptr;
        case Isa::dotprod:
            return has_dotprod() ? &arm::kDotprodTable : nullptr;
        case Isa::i8mm:
            return has_i8mm() ? &arm::kI8mmTable : nullptr;
#endif
        default:
            return nullptr;
    }
}

Isa best_isa() noexcept {
    Isa best = Isa::ref;
    for (const Isa isa : kIsas) {
        if (table_for(isa) != nullptr) best = isa;
    }
    return best;
}

const char* name(Isa isa) noexcept {
    switch (isa) {
        case Isa::ref:
            return "ref";
        case Isa::avx2:
            return "avx2";
        case Isa::avx_vnni:
            return "avx_vnni";
        case Isa::avx512:
            return "avx512";
        case Isa::avx512_vnni:
            return "avx512_vnni";
        case Isa::neon:
            return "neon";
        case Isa::dotprod:
            return "dotprod";
        case Isa::i8mm:
            return "i8mm";
    }
    return "unknown";
}

}  // namespace shoal::kernels
