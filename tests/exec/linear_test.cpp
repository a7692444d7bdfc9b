#include "daemon/exec/linear.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <random>

#include "kernels/panel.hpp"
#include "tests/exec/local_cluster.hpp"
#include "tests/instrumented.hpp"

namespace shoal::exec {
namespace {

using kernels::DType;

std::vector<float> random_floats(std::size_t n, std::uint32_t seed) {
    std::mt19937 rng(seed);
    std::normal_distribution<float> normal(0.0F, 1.0F);
    std::vector<float> x(n);
    for (float& v : x) v = normal(rng);
    return x;
}

// A matrix as SliceWeights holds it.
struct Held {
    Held(const kernels::Table& kernels, DType type, std::size_t rows, std::size_t cols,
         std::uint32_t seed) {
        const std::size_t stride = kernels::row_bytes(type, cols);
        std::vector<std::byte> file(rows * stride);
        kernels::quantize(type, random_floats(rows * cols, seed).data(), file.data(), rows * cols);
        w.type = type;
        w.rows = static_cast<std::uint32_t>(rows);
        w.cols = w.own_cols = static_cast<std::uint32_t>(cols);
        w.stride = stride;
        const auto pack = kernels.pack_for(type);
        w.packed = pack != nullptr;
        if (w.packed) {
            const std::size_t groups = cols / kernels::kActivationBlock;
            const std::size_t panel = kernels::panel_bytes(type, 0, groups);
            bytes.resize(kernels::packed_bytes(type, rows, 0, groups));
            for (std::size_t r = 0; r < rows; r += kernels::kPanelRows) {
                pack({file.data() + r * stride, stride, std::min(kernels::kPanelRows, rows - r), 0,
                      groups, bytes.data() + r / kernels::kPanelRows * panel});
            }
        } else {
            bytes = std::move(file);
        }
        w.data = bytes.data();
    }

    std::vector<std::byte> bytes;
    Matrix w;
};

struct Gated {
    DType gate, up, down;
    std::size_t ff;
};

// Both parts of `a` and `b` that readers would see.
bool same(const Activations& a, const Activations& b, DType reader) {
    for (std::size_t r = 0; r < a.rows(); ++r) {
        const bool equal =
            kernels::is_float(reader)
                ? std::memcmp(a.floats(r), b.floats(r), a.cols() * sizeof(float)) == 0
                : std::memcmp(a.blocks(r), b.blocks(r),
                              a.cols() / 32 * sizeof(kernels::ActivationBlock)) == 0;
        if (!equal) return false;
    }
    return true;
}

}  // namespace

TEST_CASE("gated products equal two products, the gate and quantising, each by itself") {
    constexpr std::size_t kDim = 256;
    constexpr std::size_t kSkip = 32;  // columns before the own ones
    const Gated cases[] = {{DType::q4_0, DType::q4_0, DType::q4_0, 416},
                           {DType::q4_k, DType::q6_k, DType::q8_0, 1024},
                           {DType::bf16, DType::q4_0, DType::q4_1, 96},
                           {DType::q8_0, DType::f16, DType::f32, 71},
                           {DType::f32, DType::f32, DType::q5_k, 256}};
    std::uint32_t seed = 1;
    for (const kernels::Isa isa : tests::isas_here()) {
        const kernels::Table& kernels = *kernels::table_for(isa);
        for (const Gated& c : cases) {
            const Held gate(kernels, c.gate, c.ff, kDim, ++seed);
            const Held up(kernels, c.up, c.ff, kDim, ++seed);
            Matrix down;
            down.type = c.down;
            down.rows = 1;
            for (const std::size_t rows : {1, 5, 17, tests::by_speed(300, 33)}) {
                for (const std::uint32_t threads : {1, 3}) {
                    CAPTURE(kernels.name);
                    CAPTURE(kernels::name(c.gate));
                    CAPTURE(rows);
                    CAPTURE(threads);
                    ThreadPool pool(threads);
                    Linear linear(kernels, pool);
                    const auto x = random_floats(rows * kDim, ++seed);
                    Activations in(kernels, rows, kDim, true);
                    in.reset(rows, kDim, {&gate.w, &up.w});
                    for (std::size_t r = 0; r < rows; ++r) in.store(r, 0, &x[r * kDim], kDim);

                    const std::size_t cols = kSkip + c.ff;
                    Activations fused(kernels, rows, cols, true);
                    fused.reset_zero(rows, cols, {&down});
                    linear.run_gated(in, gate.w, up.w, fused, kSkip);

                    std::vector<float> g(rows * c.ff), u(rows * c.ff), padded(cols);
                    linear.run(in, {{&gate.w, g.data()}, {&up.w, u.data()}});
                    Activations apart(kernels, rows, cols, true);
                    apart.reset(rows, cols, {&down});
                    for (std::size_t r = 0; r < rows; ++r) {
                        kernels.silu_mul(&g[r * c.ff], &u[r * c.ff], &padded[kSkip], c.ff);
                        apart.store(r, 0, padded.data(), cols);
                    }
                    CHECK(same(fused, apart, c.down));
                }
            }
        }
    }
}

TEST_CASE("products of several matrices share one input and skip those without rows") {
    const kernels::Table& kernels = *kernels::table_for(kernels::best_isa());
    constexpr std::size_t kDim = 128;
    constexpr std::size_t kRows = 40;
    const Held a(kernels, DType::q8_0, 50, kDim, 1);
    const Held b(kernels, DType::f16, 33, kDim, 2);
    const Matrix none;
    ThreadPool pool(2);
    Linear linear(kernels, pool);
    const auto x = random_floats(kRows * kDim, 3);
    Activations in(kernels, kRows, kDim, true);
    in.reset(kRows, kDim, {&a.w, &none, &b.w});
    for (std::size_t r = 0; r < kRows; ++r) in.store(r, 0, &x[r * kDim], kDim);
    std::vector<float> ya(kRows * 50), yb(kRows * 33);
    linear.run(in, {{&a.w, ya.data()}, {&none, nullptr}, {&b.w, yb.data()}});

    // Each row by itself, with the same kernels.
    for (std::size_t r = 0; r < kRows; ++r) {
        Activations one(kernels, 1, kDim, true);
        one.reset(1, kDim, {&a.w, &b.w});
        one.store(0, 0, &x[r * kDim], kDim);
        std::vector<float> row_a(50), row_b(33);
        linear.run(one, {{&a.w, row_a.data()}});
        linear.run(one, {{&b.w, row_b.data()}});
        CHECK(std::memcmp(row_a.data(), &ya[r * 50], sizeof(float) * 50) == 0);
        CHECK(std::memcmp(row_b.data(), &yb[r * 33], sizeof(float) * 33) == 0);
    }
}

TEST_CASE("an input that nobody reads is not wanted") {
    const kernels::Table& kernels = kernels::reference();
    const Matrix none;
    Activations in(kernels, 4, 64, false);
    in.reset(4, 64, {&none});
    CHECK_FALSE(in.wanted());
    Matrix one;
    one.type = DType::q4_0;
    one.rows = 1;
    in.reset(4, 64, {&none, &one});
    CHECK(in.wanted());
}

}  // namespace shoal::exec
