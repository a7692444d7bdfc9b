#include <cstddef>

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

TEST_CASE("a CPU of this build's family runs the ISA that its flags promise") {
#if defined(__x86_64__)
    CHECK(table_for(Isa::neon) == nullptr);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        CHECK(best_isa() == Isa::avx2);
    } else {
        CHECK(best_isa() == Isa::ref);
    }
#elif defined(__aarch64__)
    CHECK(table_for(Isa::avx2) == nullptr);
    CHECK(best_isa() == Isa::neon);
#endif
}

TEST_CASE("no table has a hole") {
    for (const Table* table : all_tables()) {
        CAPTURE(label(table));
        for (const DType type : kAllTypes) CHECK((table->matmul_for(type) != nullptr));
        CHECK((table->matmul_for(static_cast<DType>(99)) == nullptr));
        CHECK((table->quantize_activations != nullptr));
        CHECK((table->rms_norm != nullptr));
        CHECK((table->rope != nullptr));
        CHECK((table->silu_mul != nullptr));
        CHECK((table->add != nullptr));
        CHECK((table->attend_f32 != nullptr));
        CHECK((table->attend_f16 != nullptr));
        CHECK((table->f32_to_f16 != nullptr));
        CHECK((table->f16_to_f32 != nullptr));
        CHECK((table->quantize_q8_0 != nullptr));
        CHECK((table->accumulate_q8_0 != nullptr));
        CHECK((table->accumulate_f16 != nullptr));
    }
}

TEST_SUITE_END();
