#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/kernels.hpp"

using namespace shoal::kernels;

TEST_CASE("every type survives a round trip") {
    std::mt19937 rng(7);
    std::normal_distribution<float> normal(0, 1);
    std::vector<float> x(1024), back(1024);
    for (float& v : x) v = normal(rng);
    for (DType t : {DType::f32, DType::f16, DType::bf16, DType::q8_0, DType::q4_0, DType::q4_1,
                    DType::q5_0, DType::q5_1, DType::q4_k, DType::q5_k, DType::q6_k}) {
        std::vector<std::byte> b(row_bytes(t, x.size()));
        quantize(t, x.data(), b.data(), x.size());
        dequantize(t, b.data(), back.data(), x.size());
        double e = 0;
        for (std::size_t i = 0; i < x.size(); ++i) e += (x[i] - back[i]) * (x[i] - back[i]);
        MESSAGE(name(t) << " rms error " << std::sqrt(e / 1024));
        CHECK(std::sqrt(e / 1024) < 0.12);
        std::vector<ActivationBlock> a(32);
        reference().quantize_activations(x.data(), a.data(), 1024);
        float y = 0;
        const bool f = is_float(t);
        Matmul m{
            b.data(), b.size(), f ? static_cast<void*>(x.data()) : a.data(), 4096, &y, 1, 1024, 1,
            0,        1};
        reference().matmul_for(t)(m);
        double ref = 0;
        for (std::size_t i = 0; i < x.size(); ++i) ref += x[i] * back[i];
        CHECK(std::fabs(y - ref) < 5);
    }
}
