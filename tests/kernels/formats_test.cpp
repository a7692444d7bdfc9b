// Byte layouts: hand-made blocks whose values follow from the format's definition, and the
// quantisers that write them.
#include <algorithm>
#include <map>

#include "tests/kernels/support.hpp"

using namespace shoal::kernels;
using namespace shoal::kernels::test;

namespace {

using Bytes = std::vector<std::uint8_t>;
/// Column and its value.
using Values = std::map<std::size_t, float>;

std::vector<float> decode(DType type, const Bytes& bytes) {
    const BlockShape shape = block_shape(type);
    REQUIRE(bytes.size() % shape.bytes == 0);
    std::vector<float> out(bytes.size() / shape.bytes * shape.elements, NAN);
    dequantize(type, reinterpret_cast<const std::byte*>(bytes.data()), out.data(), out.size());
    return out;
}

void check_values(DType type, const Bytes& bytes, const Values& expected) {
    const auto values = decode(type, bytes);
    for (const auto& entry : expected) {
        CAPTURE(entry.first);
        CHECK(values.at(entry.first) == entry.second);
    }
}

/// The block, and the columns whose value is known by hand.
struct Golden {
    DType type;
    Bytes bytes;
    Values values;
};

Golden golden_q8_0() {
    Bytes b(34, 0);
    b[1] = 0x38;  // d = 0.5
    b[2] = 1, b[3] = 0xff, b[17] = 127, b[18] = 0x80, b[33] = 0x81;
    return {DType::q8_0, b, {{0, 0.5f}, {1, -0.5f}, {15, 63.5f}, {16, -64.0f}, {31, -63.5f}}};
}

Golden golden_q4_0() {
    Bytes b(18, 0x88);
    b[0] = 0x00, b[1] = 0x38;  // d = 0.5
    b[2] = 0xf0, b[3] = 0x79, b[17] = 0x1e;
    return {DType::q4_0,
            b,
            {{0, -4.0f}, {16, 3.5f}, {1, 0.5f}, {17, -0.5f}, {15, 3.0f}, {31, -3.5f}, {2, 0.0f}}};
}

Golden golden_q4_1() {
    Bytes b(20, 0);
    b[1] = 0xc0;  // d = -2
    b[3] = 0x3e;  // m = 1.5
    b[4] = 0xf1, b[19] = 0x72;
    return {DType::q4_1, b, {{0, -0.5f}, {16, -28.5f}, {15, -2.5f}, {31, -12.5f}, {1, 1.5f}}};
}

Golden golden_q5_0() {
    Bytes b(22, 0);
    b[1] = 0x3c;                                         // d = 1
    b[2] = 0x01, b[3] = 0x80, b[4] = 0x02, b[5] = 0x80;  // fifth bits: columns 0, 15, 17, 31
    b[6] = 0x21, b[7] = 0x43, b[21] = 0x65;
    return {DType::q5_0,
            b,
            {{0, 1.0f},
             {16, -14.0f},
             {1, -13.0f},
             {17, 4.0f},
             {15, 5.0f},
             {31, 6.0f},
             {2, -16.0f},
             {30, -16.0f}}};
}

Golden golden_q5_1() {
    Bytes b(24, 0);
    b[1] = 0x3c;  // d = 1
    b[3] = 0xb8;  // m = -0.5
    b[4] = 0x01, b[5] = 0x80, b[6] = 0x02, b[7] = 0x80;
    b[8] = 0x21, b[9] = 0x43, b[23] = 0x65;
    return {DType::q5_1,
            b,
            {{0, 16.5f},
             {16, 1.5f},
             {1, 2.5f},
             {17, 19.5f},
             {15, 20.5f},
             {31, 21.5f},
             {2, -0.5f},
             {30, -0.5f}}};
}

/// d = 1, dmin = 0.5; scales 1 2 63 4 42 1 0 63, minimums 5 6 0 7 25 2 15 35.
void put_scales(Bytes& b) {
    b[1] = 0x3c, b[3] = 0x38;
    const std::uint8_t packed[12] = {0x81, 0x02, 0x3f, 0xc4, 0x45, 0x06,
                                     0x00, 0x87, 0x9a, 0x21, 0xf0, 0x3f};
    std::copy(std::begin(packed), std::end(packed), b.begin() + 4);
}

Golden golden_q4_k() {
    Bytes b(144, 0);
    put_scales(b);
    b[16] = 0xf1, b[16 + 31] = 0x2e, b[16 + 32] = 0x73, b[16 + 64] = 0x58, b[16 + 127] = 0xa6;
    return {DType::q4_k,
            b,
            {{0, 1.0f - 2.5f},
             {1, -2.5f},
             {31, 14.0f - 2.5f},
             {32, 30.0f - 3.0f},
             {63, 4.0f - 3.0f},
             {64, 63.0f * 3},
             {96, 28.0f - 3.5f},
             {128, 42.0f * 8 - 12.5f},
             {160, 5.0f - 1.0f},
             {223, -7.5f},
             {255, 630.0f - 17.5f}}};
}

Golden golden_q5_k() {
    Bytes b(176, 0);
    put_scales(b);
    b[16] = 0x81;       // fifth bits of columns 0 and 224
    b[17] = 0x02;       // of column 33
    b[16 + 31] = 0x54;  // of columns 95, 159 and 223
    b[48] = 0xf1, b[48 + 31] = 0x2e, b[48 + 32] = 0x73, b[48 + 64] = 0x58, b[48 + 127] = 0xa6;
    return {DType::q5_k,
            b,
            {{0, 17.0f - 2.5f},
             {1, -2.5f},
             {31, 14.0f - 2.5f},
             {32, 30.0f - 3.0f},
             {33, 2.0f * 16 - 3.0f},
             {63, 4.0f - 3.0f},
             {64, 63.0f * 3},
             {95, 63.0f * 16},
             {96, 28.0f - 3.5f},
             {128, 42.0f * 8 - 12.5f},
             {159, 42.0f * 16 - 12.5f},
             {160, 5.0f - 1.0f},
             {223, -7.5f},
             {224, 63.0f * 16 - 17.5f},
             {255, 630.0f - 17.5f}}};
}

Golden golden_q6_k() {
    Bytes b(210, 0);
    for (int g = 0; g < 16; ++g) b[192 + g] = static_cast<std::uint8_t>(g + 1);
    b[192 + 15] = 0x80;           // -128
    b[192 + 2] = 0xff;            // -1
    b[209] = 0x38;                // d = 0.5
    b[0] = 0xa1;                  // low bits: column 0 is 1, column 64 is 10
    b[32 + 16] = 0x3c;            // column 48 is 12, column 112 is 3
    b[64 + 31] = 0x75;            // column 159 is 5, column 223 is 7
    b[96 + 31] = 0xf2;            // column 191 is 2, column 255 is 15
    b[128] = 0b11'10'01'11;       // upper bits of columns 0, 32, 64, 96: 3 1 2 3
    b[128 + 16] = 0b01'00'10'00;  // columns 16, 48, 80, 112: 0 2 0 1
    b[160 + 31] = 0b11'01'10'01;  // columns 159, 191, 223, 255: 1 2 1 3
    return {DType::q6_k,
            b,
            {{0, 0.5f * 1 * (49 - 32)},
             {1, 0.5f * 1 * -32},
             {32, 0.5f * -1 * (16 - 32)},
             {48, 0.5f * 4 * (44 - 32)},
             {64, 0.5f * 5 * (42 - 32)},
             {96, 0.5f * 7 * (48 - 32)},
             {112, 0.5f * 8 * (19 - 32)},
             {159, 0.5f * 10 * (21 - 32)},
             {191, 0.5f * 12 * (34 - 32)},
             {223, 0.5f * 14 * (23 - 32)},
             {255, 0.5f * -128 * (63 - 32)}}};
}

/// Two-bit codes, 64 bytes from `at` on: columns 0 31 32 63 64 95 96 127 are 2 3 1 3 2 0 3 1,
/// columns 128 159 160 191 192 223 224 255 are 1 1 1 3 3 2 0 3, column 208 is 1.
void put_two_bits(Bytes& b, std::size_t at) {
    b[at] = 0b11'10'01'10;
    b[at + 31] = 0b01'00'11'11;
    b[at + 32] = 0b00'11'01'01;
    b[at + 48] = 0b00'01'00'00;
    b[at + 63] = 0b11'10'11'01;
}

Golden golden_q2_k() {
    Bytes b(84, 0);
    b[81] = 0x38;  // d = 0.5
    b[83] = 0x34;  // dmin = 0.25
    // Scales 1 15 14 4 5 6 7 2 3 9 10 11 12 7 13 8, minimums 2 3 0 1 4 5 6 15 4 7 8 9 10 5 11 9.
    const std::uint8_t scales[16] = {0x21, 0x3f, 0x0e, 0x14, 0x45, 0x56, 0x67, 0xf2,
                                     0x43, 0x79, 0x8a, 0x9b, 0xac, 0x57, 0xbd, 0x98};
    std::copy(std::begin(scales), std::end(scales), b.begin());
    put_two_bits(b, 16);
    return {DType::q2_k,
            b,
            {{0, 0.5f * 1 * 2 - 0.25f * 2},
             {1, -0.25f * 2},
             {31, 0.5f * 15 * 3 - 0.25f * 3},
             {32, 0.5f * 14 * 1},
             {63, 0.5f * 4 * 3 - 0.25f * 1},
             {64, 0.5f * 5 * 2 - 0.25f * 4},
             {95, -0.25f * 5},
             {96, 0.5f * 7 * 3 - 0.25f * 6},
             {127, 0.5f * 2 * 1 - 0.25f * 15},
             {128, 0.5f * 3 * 1 - 0.25f * 4},
             {159, 0.5f * 9 * 1 - 0.25f * 7},
             {160, 0.5f * 10 * 1 - 0.25f * 8},
             {191, 0.5f * 11 * 3 - 0.25f * 9},
             {192, 0.5f * 12 * 3 - 0.25f * 10},
             {208, 0.5f * 7 * 1 - 0.25f * 5},
             {223, 0.5f * 7 * 2 - 0.25f * 5},
             {224, -0.25f * 11},
             {255, 0.5f * 8 * 3 - 0.25f * 9}}};
}

Golden golden_q3_k() {
    Bytes b(110, 0);
    b[0] = 0x81;   // third bits of columns 0 and 224
    b[16] = 0x40;  // of column 208
    b[31] = 0x18;  // of columns 127 and 159
    put_two_bits(b, 32);
    // Scales, less 32: 1 -32 31 -12 3 -15 8 18 -1 4 -27 16 2 -16 30 -21.
    const std::uint8_t scales[12] = {0xf1, 0x40, 0x5f, 0x04, 0x23, 0x01,
                                     0xe8, 0xb2, 0x9a, 0x64, 0xcb, 0x3d};
    std::copy(std::begin(scales), std::end(scales), b.begin() + 96);
    b[109] = 0x38;  // d = 0.5
    return {DType::q3_k,
            b,
            {{0, 0.5f * 1 * (6 - 4)},
             {1, 0.5f * 1 * -4},
             {31, 0.5f * -32 * (3 - 4)},
             {32, 0.5f * 31 * (1 - 4)},
             {63, 0.5f * -12 * (3 - 4)},
             {64, 0.5f * 3 * (2 - 4)},
             {95, 0.5f * -15 * -4},
             {96, 0.5f * 8 * (3 - 4)},
             {127, 0.5f * 18 * (5 - 4)},
             {128, 0.5f * -1 * (1 - 4)},
             {159, 0.5f * 4 * (5 - 4)},
             {160, 0.5f * -27 * (1 - 4)},
             {191, 0.5f * 16 * (3 - 4)},
             {192, 0.5f * 2 * (3 - 4)},
             {208, 0.5f * -16 * (5 - 4)},
             {223, 0.5f * -16 * (2 - 4)},
             {224, 0.0f},
             {225, 0.5f * 30 * -4},
             {255, 0.5f * -21 * (3 - 4)}}};
}

Golden golden_iq4_nl() {
    Bytes b(18, 0);
    b[1] = 0x38;  // d = 0.5
    // Column j has code j, column j + 16 the code 15 - j.
    for (unsigned j = 0; j < 16; ++j) b[2 + j] = static_cast<std::uint8_t>(j | (15 - j) << 4);
    const int values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                            1,    13,   25,  38,  53,  69,  89,  113};
    Values expected;
    for (unsigned j = 0; j < 16; ++j) {
        expected[j] = expected[31 - j] = 0.5f * static_cast<float>(values[j]);
    }
    return {DType::iq4_nl, b, expected};
}

Golden golden_iq4_xs() {
    Bytes b(136, 0);
    b[1] = 0x38;  // d = 0.5
    // Scales, less 32: 1 -32 31 -12 3 -15 8 18.
    b[2] = 0x72, b[3] = 0xe6;
    b[4] = 0x01, b[5] = 0x4f, b[6] = 0x13, b[7] = 0x28;
    b[8] = 0xf0, b[8 + 31] = 0x2a, b[8 + 32] = 0x88, b[8 + 63] = 0x91;
    b[8 + 64] = 0x4b, b[8 + 87] = 0xd5, b[8 + 96] = 0x6c, b[8 + 127] = 0xe3;
    return {DType::iq4_xs,
            b,
            {{0, 0.5f * 1 * -127},
             {16, 0.5f * 1 * 113},
             {47, 0.5f * -32 * 25},
             {63, 0.5f * -32 * -83},
             {64, 0.5f * 31 * 1},
             {65, 0.5f * 31 * -127},
             {111, 0.5f * -12 * -104},
             {127, 0.5f * -12 * 13},
             {128, 0.5f * 3 * 38},
             {144, 0.5f * 3 * -49},
             {167, 0.5f * -15 * -35},
             {183, 0.5f * -15 * 69},
             {192, 0.5f * 8 * 53},
             {208, 0.5f * 8 * -22},
             {239, 0.5f * 18 * -65},
             {255, 0.5f * 18 * 89}}};
}

std::vector<Golden> goldens() {
    return {golden_q8_0(), golden_q4_0(), golden_q4_1(),   golden_q5_0(),
            golden_q5_1(), golden_q2_k(), golden_q3_k(),   golden_q4_k(),
            golden_q5_k(), golden_q6_k(), golden_iq4_nl(), golden_iq4_xs()};
}

/// Blocks of random bits with reasonable scales: every code of every field occurs.
std::vector<std::byte> random_blocks(DType type, std::size_t blocks, std::uint32_t seed) {
    std::vector<float> x = random_floats(blocks * block_shape(type).elements, seed);
    std::vector<std::byte> out(blocks * block_shape(type).bytes);
    quantize(type, x.data(), out.data(), x.size());
    return out;
}

double rms_of(const std::vector<float>& x) {
    double squares = 0;
    for (const float v : x) squares += static_cast<double>(v) * v;
    return std::sqrt(squares / static_cast<double>(x.size()));
}

}  // namespace

TEST_SUITE_BEGIN("formats");

TEST_CASE("hand-made blocks have the values that the format defines") {
    for (const Golden& golden : goldens()) {
        CAPTURE(label(golden.type));
        check_values(golden.type, golden.bytes, golden.values);
    }
}

TEST_CASE("floats of 16 bits have the values of their definition") {
    check_values(DType::f16, {0x00, 0x3c, 0x00, 0xc0, 0xff, 0x7b, 0x01, 0x00},
                 {{0, 1.0f}, {1, -2.0f}, {2, 65504.0f}, {3, 0x1p-24f}});
    check_values(DType::bf16, {0x80, 0x3f, 0x00, 0xc0, 0x80, 0x7f},
                 {{0, 1.0f}, {1, -2.0f}, {2, INFINITY}});
    check_values(DType::f32, {0x00, 0x00, 0x80, 0x3f}, {{0, 1.0f}});
}

TEST_CASE("a matmul reads each column of a hand-made block from where the format puts it") {
    for (const Golden& golden : goldens()) {
        CAPTURE(label(golden.type));
        const auto values = decode(golden.type, golden.bytes);
        for (const Table* table : all_tables()) {
            CAPTURE(label(table));
            for (std::size_t column = 0; column < values.size(); ++column) {
                CAPTURE(column);
                std::vector<ActivationBlock> x(values.size() / kActivationBlock);
                for (auto& block : x) block = {{}, 1.0f, 0.0f, 0, 0};
                x[column / 32].qs[column % 32] = 1;
                x[column / 32].sum = 1.0f;
                x[column / 32].minus_sum = -1;
                x[column / 32].minus_tail = column % 32 < 16 ? 0 : -1;
                float y = NAN;
                const Matmul m{reinterpret_cast<const std::byte*>(golden.bytes.data()),
                               golden.bytes.size(),
                               x.data(),
                               x.size() * sizeof(ActivationBlock),
                               &y,
                               1,
                               values.size(),
                               1,
                               0,
                               1};
                table->matmul_for(golden.type)(m);
                // Each of these sums is exact: few bits, all of one magnitude.
                REQUIRE(y == values[column]);
            }
        }
    }
}

TEST_CASE("quantising decoded values gives them back") {
    // Every block was made by the quantiser, so its values lie on a grid that the quantiser can
    // find again; the search of the superblocks may settle on a neighbour.
    for (const DType type : kDTypes) {
        CAPTURE(label(type));
        const std::size_t n = 4 * std::max<std::size_t>(block_shape(type).elements, 32);
        const auto blocks = random_blocks(type, n / block_shape(type).elements, 3);
        std::vector<float> first(n), second(n);
        dequantize(type, blocks.data(), first.data(), n);
        std::vector<std::byte> again(blocks.size());
        quantize(type, first.data(), again.data(), n);
        dequantize(type, again.data(), second.data(), n);
        double worst = 0;
        for (std::size_t i = 0; i < n; ++i) {
            worst = std::max(worst, std::fabs(static_cast<double>(first[i]) - second[i]));
        }
        const bool superblock = block_shape(type).elements == kSuperblock;
        CHECK(worst <= rms_of(first) * (superblock ? 0.12 : 0.002));
    }
}

TEST_CASE("quantisation noise of normal values is what the bits allow") {
    // Uniform steps of width s leave an rms error of s / sqrt(12). The bounds are that figure for
    // the expected range of 32 (or 16) normal values, plus a tenth for rounded scales. Where codes
    // are few or not uniform no such figure exists: those are what the search finds (0.266, 0.145,
    // 0.0736, 0.0743), plus a twentieth.
    const std::map<DType, double> bounds = {
        {DType::f32, 0},      {DType::f16, 2.5e-4},    {DType::bf16, 2e-3},   {DType::q8_0, 0.0059},
        {DType::q4_0, 0.095}, {DType::q4_1, 0.085},    {DType::q5_0, 0.047},  {DType::q5_1, 0.042},
        {DType::q2_k, 0.28},  {DType::q3_k, 0.152},    {DType::q4_k, 0.078},  {DType::q5_k, 0.0385},
        {DType::q6_k, 0.02},  {DType::iq4_nl, 0.0775}, {DType::iq4_xs, 0.078}};
    const auto x = random_floats(64 * 256, 11);
    for (const DType type : kDTypes) {
        CAPTURE(label(type));
        std::vector<std::byte> blocks(row_bytes(type, x.size()));
        std::vector<float> back(x.size());
        quantize(type, x.data(), blocks.data(), x.size());
        dequantize(type, blocks.data(), back.data(), x.size());
        for (std::size_t i = 0; i < x.size(); ++i) back[i] -= x[i];
        CHECK(rms_of(back) <= bounds.at(type));
    }
}

TEST_CASE("quantisers write nothing beyond their blocks and take any input") {
    const float inputs[] = {0.0f,   -0.0f,    1.0f,      -3.5f, 0x1p-149f, 3e38f,
                            -3e38f, INFINITY, -INFINITY, NAN,   1e-30f,    65504.0f * 200};
    for (const DType type : kDTypes) {
        CAPTURE(label(type));
        for (const float input : inputs) {
            CAPTURE(input);
            std::vector<float> x(256, input);
            x[17] = -0.25f;
            Guarded<std::byte> blocks(row_bytes(type, x.size()));
            std::vector<float> back(x.size());
            quantize(type, x.data(), blocks.data(), x.size());
            CHECK(blocks.intact());
            dequantize(type, blocks.data(), back.data(), x.size());
            const bool fits = std::fabs(input) < 1e6f;
            const double slack = 0.13 * std::max(std::fabs(input), 0.25f);
            for (std::size_t i = 0; fits && i < x.size(); ++i) {
                REQUIRE(std::fabs(static_cast<double>(back[i]) - x[i]) <= slack);
            }
        }
    }
}

TEST_SUITE_END();
