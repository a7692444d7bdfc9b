#include "tests/bench/register_peak.hpp"

#include <algorithm>
#include <chrono>
#include <string_view>

namespace shoal::bench {
namespace {

constexpr long kRounds = 20000;

#if defined(__x86_64__)
// The loop is one statement: code of the compiler's between wide instructions would wait for the
// upper halves of registers. Twelve independent sums hide the latency of each; zeros, because
// subnormal floats would be slow.
#define SHOAL_TWELVE(op) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12)
#define SHOAL_LOOP(op)                                                                             \
    long rounds = kRounds;                                                                         \
    __asm__ volatile("vzeroall\n1:\n" SHOAL_TWELVE(op) "sub $1, %0\njnz 1b\nvzeroupper\n"          \
                     : "+r"(rounds)::"cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", \
                       "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13");

// Each makes kRounds rounds and returns the multiply-adds of one.
double avx512_vnni_rounds() {
#define SHOAL_OP(n) "vpdpbusd %%zmm0, %%zmm0, %%zmm" #n "\n"
    SHOAL_LOOP(SHOAL_OP)
#undef SHOAL_OP
    return 12 * 64;
}

double avx_vnni_rounds() {
#define SHOAL_OP(n) "%{vex%} vpdpbusd %%ymm0, %%ymm0, %%ymm" #n "\n"
    SHOAL_LOOP(SHOAL_OP)
#undef SHOAL_OP
    return 12 * 32;
}

// Without VNNI the least is a multiplication and an addition of 16-bit sums.
double avx512_rounds() {
#define SHOAL_OP(n) "vpmaddubsw %%zmm0, %%zmm0, %%zmm13\nvpaddw %%zmm13, %%zmm" #n ", %%zmm" #n "\n"
    SHOAL_LOOP(SHOAL_OP)
#undef SHOAL_OP
    return 12 * 64;
}

double avx2_rounds() {
#define SHOAL_OP(n) "vpmaddubsw %%ymm0, %%ymm0, %%ymm13\nvpaddw %%ymm13, %%ymm" #n ", %%ymm" #n "\n"
    SHOAL_LOOP(SHOAL_OP)
#undef SHOAL_OP
    return 12 * 32;
}

double fma512_rounds() {
#define SHOAL_OP(n) "vfmadd231ps %%zmm0, %%zmm0, %%zmm" #n "\n"
    SHOAL_LOOP(SHOAL_OP)
#undef SHOAL_OP
    return 12 * 16;
}

double fma256_rounds() {
#define SHOAL_OP(n) "vfmadd231ps %%ymm0, %%ymm0, %%ymm" #n "\n"
    SHOAL_LOOP(SHOAL_OP)
#undef SHOAL_OP
    return 12 * 8;
}

double bf16_rounds() {
#define SHOAL_OP(n) "vdpbf16ps %%zmm0, %%zmm0, %%zmm" #n "\n"
    SHOAL_LOOP(SHOAL_OP)
#undef SHOAL_OP
    return 12 * 32;
}
#undef SHOAL_LOOP
#undef SHOAL_TWELVE
#endif

[[maybe_unused]] double rate_of(double (*rounds)(), double seconds) {
    using Clock = std::chrono::steady_clock;
    double best = 0;
    const auto end = Clock::now() + std::chrono::duration<double>(seconds);
    do {
        const auto start = Clock::now();
        const double done = rounds() * static_cast<double>(kRounds);
        best = std::max(best, done / std::chrono::duration<double>(Clock::now() - start).count());
    } while (Clock::now() < end);
    return best;
}

}  // namespace

double integer_peak([[maybe_unused]] const kernels::Table& table, [[maybe_unused]] double seconds) {
#if defined(__x86_64__)
    const std::string_view name = table.name;
    if (name == "avx512_vnni") return rate_of(avx512_vnni_rounds, seconds);
    if (name == "avx_vnni") return rate_of(avx_vnni_rounds, seconds);
    if (name == "avx512") return rate_of(avx512_rounds, seconds);
    if (name == "avx2") return rate_of(avx2_rounds, seconds);
#endif
    return 0;
}

double float_peak([[maybe_unused]] const kernels::Table& table, [[maybe_unused]] double seconds) {
#if defined(__x86_64__)
    const std::string_view name = table.name;
    if (name.starts_with("avx512")) return rate_of(fma512_rounds, seconds);
    if (name.starts_with("avx")) return rate_of(fma256_rounds, seconds);
#endif
    return 0;
}

double bf16_peak([[maybe_unused]] const kernels::Table& table, [[maybe_unused]] double seconds) {
#if defined(__x86_64__)
    const std::string_view name = table.name;
    if (name.starts_with("avx512") && __builtin_cpu_supports("avx512bf16")) {
        return rate_of(bf16_rounds, seconds);
    }
#endif
    return 0;
}

}  // namespace shoal::bench
