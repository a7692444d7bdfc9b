// One CPU cannot compare AVX2 with NEON. These checksums can: kernels written over eight lanes give
// the same bits on every vector ISA, so one constant stands for all of them. A deliberate change of
// the order of additions changes the constants, and must change them on every ISA alike.
#include "tests/kernels/support.hpp"

using namespace shoal::kernels;
using namespace shoal::kernels::test;

namespace {

/// Values in -1..1 from a linear congruential generator: exact, so equal on every platform, which
/// the standard distributions do not promise.
std::vector<float> exact_floats(std::size_t n, std::uint32_t seed) {
    std::vector<float> x(n);
    for (float& v : x) {
        seed = seed * 1664525u + 1013904223u;
        v = static_cast<float>(static_cast<std::int32_t>(seed) >> 8) * 0x1p-23f;
    }
    return x;
}

/// FNV-1a over the bits of floats.
std::uint64_t checksum(const std::vector<float>& x) {
    std::uint64_t hash = 0xcbf29ce484222325u;
    for (const float v : x) hash = (hash ^ bits_of(v)) * 0x100000001b3u;
    return hash;
}

std::uint64_t product_checksum(const Table& table, DType type) {
    const std::size_t cols = 1003;
    const std::size_t d = 7;
    const std::size_t rows = 6;
    const auto values = exact_floats(cols * d, 1);
    const auto x = exact_floats(cols * rows, 2);
    std::vector<std::byte> w(row_bytes(type, values.size()));
    quantize(type, values.data(), w.data(), values.size());
    std::vector<float> y(d * rows);
    table.matmul_for(type)({w.data(), row_bytes(type, cols), x.data(), cols * sizeof(float),
                            y.data(), d, cols, rows, 0, d});
    return checksum(y);
}

std::uint64_t attention_checksum(const Table& table, KvType type) {
    const std::size_t group = 7;
    const std::size_t dim = 84;
    const std::size_t positions = 101;
    const DType stored = type == KvType::f32 ? DType::f32 : DType::f16;
    const auto q = exact_floats(group * dim, 3);
    const auto values = exact_floats(2 * positions * dim, 4);
    std::vector<std::byte> kv(row_bytes(stored, values.size()));
    quantize(stored, values.data(), kv.data(), values.size());
    std::vector<float> out(group * (dim + 2));
    const AttendChunk chunk{q.data(),
                            kv.data(),
                            kv.data() + kv.size() / 2,
                            row_bytes(stored, dim),
                            group,
                            dim,
                            positions,
                            0.75f,
                            out.data(),
                            out.data() + group,
                            out.data() + 2 * group};
    (type == KvType::f32 ? table.attend_f32 : table.attend_f16)(chunk);
    return checksum(out);
}

std::uint64_t silu_checksum(const Table& table) {
    auto gate = exact_floats(1001, 5);
    for (float& g : gate) g *= 100.0f;
    const auto up = exact_floats(gate.size(), 6);
    std::vector<float> out(gate.size());
    table.silu_mul(gate.data(), up.data(), out.data(), out.size());
    return checksum(out);
}

}  // namespace

TEST_SUITE_BEGIN("agreement");

TEST_CASE("float kernels give the same bits on every vector ISA") {
    for (const Table* table : isa_tables()) {
        CAPTURE(label(table));
        CHECK(product_checksum(*table, DType::f32) == 0xbd13d66297b7c7a4u);
        CHECK(product_checksum(*table, DType::f16) == 0xdcb4a1672be51029u);
        CHECK(product_checksum(*table, DType::bf16) == 0xb2f75ba2df69cb52u);
        CHECK(attention_checksum(*table, KvType::f32) == 0x2afaf9e22d23d903u);
        CHECK(attention_checksum(*table, KvType::f16) == 0x107aebb1828f156au);
        CHECK(silu_checksum(*table) == 0xbda651b273c889d6u);
    }
}

TEST_SUITE_END();
