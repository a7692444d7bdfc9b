#include <cstddef>
#include <cstdlib>
#include <set>

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include "tests/kernels/support.hpp"

using namespace shoal::kernels;
using namespace shoal::kernels::test;

TEST_SUITE_BEGIN("dispatch");

TEST_CASE("the reference runs everywhere and the best ISA has a table") {
    CHECK(table_for(Isa::ref) == &reference());
    REQUIRE(table_for(best_isa()) != nullptr);
    CHECK(std::string(table_for(best_isa())->name) == name(best_isa()));
    CHECK(table_for(static_cast<Isa>(99)) == nullptr);
}

TEST_CASE("every ISA has a name of its own, and its table says it") {
    std::set<std::string> names;
    for (const Isa isa : kIsas) {
        CHECK(names.insert(name(isa)).second);
        CHECK(names.count("unknown") == 0);
        if (const Table* table = table_for(isa)) CHECK(std::string(table->name) == name(isa));
    }
    CHECK(std::string(name(static_cast<Isa>(99))) == "unknown");
}

TEST_CASE("a CPU runs the kernels of its own family that its flags promise, and the best of them") {
    Isa best = Isa::ref;
    const auto expect = [&](Isa isa, bool promised) {
        CAPTURE(std::string(name(isa)));
        CHECK((table_for(isa) != nullptr) == promised);
        if (promised) best = isa;
    };
#if defined(__x86_64__)
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    expect(Isa::avx2, avx2);
    if (table_for(Isa::avx_vnni) != nullptr) best = Isa::avx_vnni;
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    expect(Isa::avx512, avx512);
    expect(Isa::avx512_vnni, avx512 && __builtin_cpu_supports("avx512vnni"));
    for (const Isa isa : {Isa::neon, Isa::dotprod, Isa::i8mm}) expect(isa, false);
#elif defined(__aarch64__)
    for (const Isa isa : {Isa::avx2, Isa::avx_vnni, Isa::avx512, Isa::avx512_vnni}) {
        expect(isa, false);
    }
    const unsigned long flags = getauxval(AT_HWCAP);
    expect(Isa::neon, (flags & HWCAP_ASIMD) != 0);
    expect(Isa::dotprod, (flags & HWCAP_ASIMDDP) != 0);
    expect(Isa::i8mm, (flags & HWCAP_ASIMDDP) != 0 && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0);
#endif
    CHECK(best_isa() == best);
}

TEST_CASE("an emulated CPU gets the ISA that its model is known to have") {
    // Set where the model is chosen; the flags that the test above reads come from the emulator.
    const char* expected = std::getenv("SHOAL_EXPECT_ISA");
    if (expected == nullptr) return;
    CHECK(std::string(name(best_isa())) == expected);
}

TEST_CASE("no table has a hole") {
    for (const Table* table : all_tables()) {
        CAPTURE(label(table));
        for (const DType type : kDTypes) CHECK((table->matmul_for(type) != nullptr));
        CHECK((table->matmul_for(static_cast<DType>(99)) == nullptr));
        CHECK((table->pack_for(static_cast<DType>(99)) == nullptr));
        for (const DType type : kDTypes) {
            CHECK((table->pack_for(type) == nullptr) == (table->panel_matmul_for(type) == nullptr));
        }
        CHECK((table->quantize_activations != nullptr));
        CHECK((table->rms_norm != nullptr));
        CHECK((table->rope != nullptr));
        CHECK((table->silu_mul != nullptr));
        CHECK((table->add != nullptr));
        for (const AttendFn attend : table->attend) CHECK((attend != nullptr));
        CHECK((table->f32_to_f16 != nullptr));
        CHECK((table->f16_to_f32 != nullptr));
        CHECK((table->quantize_q8_0 != nullptr));
        CHECK((table->accumulate_q8_0 != nullptr));
        CHECK((table->accumulate_f16 != nullptr));
    }
}

TEST_SUITE_END();
