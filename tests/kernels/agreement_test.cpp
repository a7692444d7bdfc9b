// One CPU cannot compare AVX2 with NEON. These checksums can: kernels written over eight lanes give
// the same bits on every vector ISA, so one constant stands for all of them. A deliberate change of
// the order of additions changes the constants, and must change them on every ISA alike.
#include "tests/kernels/products.hpp"

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

/// Rows of blocks of any bits whose f16 fields are between 2^-6 and 2^-5, of either sign.
std::vector<std::byte> exact_blocks(DType type, std::size_t rows, std::size_t cols) {
    const BlockShape shape = block_shape(type);
    std::vector<std::byte> w(rows * row_bytes(type, cols));
    std::uint32_t seed = 7;
    for (std::size_t at = 0; at < w.size(); ++at) {
        seed = seed * 1664525u + 1013904223u;
        w[at] = static_cast<std::byte>(seed >> 24);
        const std::size_t scales = Weights::scale_offset(type);
        const std::size_t bytes = Weights::has_minimum(type) ? 4 : 2;
        const std::size_t in_block = at % shape.bytes;
        const bool upper = in_block >= scales && (in_block - scales) % 2 == 1;
        if (upper && in_block < scales + bytes) {
            w[at] = (w[at] & std::byte{0x83}) | std::byte{0x24};
        }
    }
    return w;
}

std::uint64_t quantised_checksum(const Table& table, DType type) {
    const std::size_t cols = 768;
    const std::size_t d = 21;
    const std::size_t rows = 7;
    const auto w = exact_blocks(type, d, cols);
    const auto values = exact_floats(cols * rows, 2);
    std::vector<ActivationBlock> x(values.size() / kActivationBlock);
    table.quantize_activations(values.data(), x.data(), values.size());
    std::vector<float> y(d * rows);
    table.matmul_for(type)({w.data(), row_bytes(type, cols), x.data(),
                            cols / kActivationBlock * sizeof(ActivationBlock), y.data(), d, cols,
                            rows, 0, d});
    return checksum(y);
}

std::uint64_t attention_checksum(const Table& table, KvType type) {
    const std::size_t group = 3;
    const std::size_t dim = 96;
    const std::uint32_t positions[] = {128, 101, 3, 77, 78};
    const std::size_t heads = std::size(positions) * group;
    const auto q = exact_floats(heads * dim, 3);
    const auto values = exact_floats(2 * kAttendChunk * dim, 4);
    std::vector<std::byte> kv(2 * kv_block_bytes(type, dim));
    if (type == KvType::q8_0) {
        // Any bytes will do for integers; the scales are about 0.002.
        const auto bytes = exact_floats(kv.size(), 7);
        for (std::size_t i = 0; i < kv.size(); ++i) {
            const bool scale = i % (kv.size() / 2) >= kAttendChunk * dim;
            const auto integer = static_cast<std::int8_t>(bytes[i] * 127);
            kv[i] = scale ? std::byte{0x18} : static_cast<std::byte>(integer);
        }
    } else {
        quantize(type == KvType::f16 ? DType::f16 : DType::f32, values.data(), kv.data(),
                 values.size());
    }
    std::vector<float> out(heads * (dim + 2), 0.0f);
    std::fill_n(out.begin(), heads, -INFINITY);
    AttendTile tile{};
    tile.q = q.data();
    tile.q_stride = group * dim;
    tile.k = kv.data();
    tile.v = kv.data() + kv.size() / 2;
    tile.positions = positions;
    tile.rows = std::size(positions);
    tile.group = group;
    tile.head_dim = dim;
    tile.scale = 0.75f;
    tile.max = out.data();
    tile.sum = out.data() + heads;
    tile.acc = out.data() + 2 * heads;
    table.attend_for(type)(tile);
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
        CHECK(attention_checksum(*table, KvType::f32) == 0x48747c1a38ddc545u);
        CHECK(attention_checksum(*table, KvType::f16) == 0xa85b0cd8daf4193u);
        CHECK(attention_checksum(*table, KvType::q8_0) == 0xa5ba0ff372d06ab5u);
        CHECK(silu_checksum(*table) == 0xbda651b273c889d6u);
    }
}

TEST_CASE("products of quantised types give the same bits on every vector ISA that packs them") {
    struct Row {
        DType type;
        std::uint64_t checksum;
    };
    const Row rows[] = {{DType::q4_0, 0x00aea3d3370a7998u},   {DType::q4_1, 0x8e813b10c045874fu},
                        {DType::q5_0, 0x071b766c8b85b6c3u},   {DType::q5_1, 0xedafd848c2feaa82u},
                        {DType::q8_0, 0x262b8775105364aau},   {DType::q2_k, 0xb10ea6d14467e233u},
                        {DType::q3_k, 0x90bbbf7592779532u},   {DType::q4_k, 0x4cd78385cb490b02u},
                        {DType::q5_k, 0x31e8c21d5a043819u},   {DType::q6_k, 0x2cbc7395b94e3586u},
                        {DType::iq4_nl, 0x16a7498e683e7d19u}, {DType::iq4_xs, 0x6818fa604c93888eu}};
    for (const Table* table : isa_tables()) {
        CAPTURE(label(table));
        for (const Row& row : rows) {
            if (table->pack_for(row.type) == nullptr) continue;
            CAPTURE(label(row.type));
            CHECK(quantised_checksum(*table, row.type) == row.checksum);
        }
    }
}

TEST_SUITE_END();
