// Packed weights: panels hold what the file holds, and their products are those of the file, bit
// for bit, wherever columns, rows and outputs are cut.
#include <algorithm>

#include "kernels/panel.hpp"
#include "tests/kernels/panel_reader.hpp"
#include "tests/kernels/products.hpp"

using namespace shoal::kernels;
using namespace shoal::kernels::test;

namespace {

/// Three superblocks: cuts within, at and across them, and past the 16 groups that products of many
/// rows take at a time.
constexpr std::size_t kGroups = 24;
constexpr std::size_t kCols = kGroups * kActivationBlock;

/// Groups [begin, end) of the file's rows.
struct Cut {
    std::size_t begin, end;
};

/// The pairs of this CPU's tables and the types that they pack.
template <class Check>
void for_each_packer(const Check& check) {
    std::size_t packers = 0;
    for (const Table* table : all_tables()) {
        for (const DType type : kDTypes) {
            if (table->pack_for(type) == nullptr) continue;
            const bool multiplies = table->panel_matmul_for(type) != nullptr;
            REQUIRE(multiplies);
            REQUIRE(panel_shape(type).code_bytes != 0);
            CAPTURE(label(table));
            CAPTURE(label(type));
            check(*table, type);
            ++packers;
        }
    }
    MESSAGE(packers << " pairs of table and type");
}

/// One panel, packed into bytes that all had the value `before`.
std::vector<std::byte> pack_panel(const Table& table, const Weights& w, std::size_t first, Cut cut,
                                  std::byte before) {
    const std::size_t rows = std::min(kPanelRows, w.d - first);
    Guarded<std::byte> out(panel_bytes(w.type, cut.begin, cut.end));
    std::fill_n(out.data(), out.size(), before);
    table.pack_for(w.type)(
        {w.bytes.data() + first * w.stride, w.stride, rows, cut.begin, cut.end, out.data()});
    REQUIRE(out.intact());
    return {out.data(), out.data() + out.size()};
}

std::vector<std::byte> pack_all(const Table& table, const Weights& w, Cut cut) {
    std::vector<std::byte> packed;
    for (std::size_t first = 0; first < w.d; first += kPanelRows) {
        const auto panel = pack_panel(table, w, first, cut, std::byte{0xff});
        packed.insert(packed.end(), panel.begin(), panel.end());
    }
    REQUIRE(packed.size() == packed_bytes(w.type, w.d, cut.begin, cut.end));
    return packed;
}

/// x with zeros outside a cut: products of whole rows with it are products of the cut's columns.
Inputs outside_cleared(const Inputs& x, Cut cut) {
    Inputs cleared = x;
    for (std::size_t r = 0; r < x.rows; ++r) {
        for (std::size_t g = 0; g < x.cols / kActivationBlock; ++g) {
            if (g >= cut.begin && g < cut.end) continue;
            std::memset(cleared.bytes.data() + r * x.stride + g * sizeof(ActivationBlock), 0,
                        sizeof(ActivationBlock));
        }
    }
    return cleared;
}

/// (rows, d) with poison between rows and around.
struct Output {
    Output(std::size_t rows_, std::size_t d_) : rows(rows_), stride(d_ + 3), y(rows_ * stride) {}

    bool operator==(Output& other) { return same_bits(y.data(), other.y.data(), y.size()); }

    std::size_t rows, stride;
    Guarded<float> y;
};

Output file_product(const Table& table, const Weights& w, const Inputs& x, std::size_t rows,
                    std::size_t begin, std::size_t end) {
    Output out(rows, w.d);
    table.matmul_for(w.type)({w.bytes.data(), w.stride, x.bytes.data(), x.stride, out.y.data(),
                              out.stride, w.cols, rows, begin, end});
    REQUIRE(out.y.intact());
    return out;
}

Output panel_product(const Table& table, const Weights& w, const std::vector<std::byte>& packed,
                     Cut cut, const Inputs& x, std::size_t rows, std::size_t begin,
                     std::size_t end) {
    // Activations that end where the cut does, so that a sanitizer sees every read beyond.
    const std::size_t row = (cut.end - cut.begin) * sizeof(ActivationBlock);
    std::vector<ActivationBlock> inputs(rows * (cut.end - cut.begin));
    for (std::size_t r = 0; r < rows; ++r) {
        std::memcpy(inputs.data() + r * (cut.end - cut.begin),
                    x.bytes.data() + r * x.stride + cut.begin * sizeof(ActivationBlock), row);
    }
    Output out(rows, w.d);
    table.panel_matmul_for(w.type)({packed.data(), cut.begin, cut.end, inputs.data(), row,
                                    out.y.data(), out.stride, rows, begin, end});
    REQUIRE(out.y.intact());
    return out;
}

}  // namespace

TEST_SUITE_BEGIN("panel");

TEST_CASE("a panel has every value where its layout says") {
    for_each_packer([](const Table& table, DType type) {
        const Weights w(type, 21, kCols, 1);
        for (const Cut cut : {Cut{0, kGroups}, Cut{5, 6}, Cut{3, 17}, Cut{8, 16}, Cut{15, 24}}) {
            CAPTURE(cut.begin);
            CAPTURE(cut.end);
            for (std::size_t row = 0; row < w.d; ++row) {
                const std::size_t first = row / kPanelRows * kPanelRows;
                const auto panel = pack_panel(table, w, first, cut, std::byte{0xff});
                PanelReader reader(type, panel.data(), cut.begin);
                const auto values = w.values(row);
                CAPTURE(row);
                for (std::size_t c = 32 * cut.begin; c < 32 * cut.end; ++c) {
                    CAPTURE(c);
                    REQUIRE(reader.value(row - first, c) == values[c]);
                }
            }
        }
    });
}

TEST_CASE("packing writes every byte of its panel and none beyond") {
    for_each_packer([](const Table& table, DType type) {
        for (const std::size_t rows : {1, 7, 15, 16}) {
            CAPTURE(rows);
            const Weights w(type, rows, kCols, 2);
            for (const Cut cut : {Cut{0, kGroups}, Cut{7, 9}, Cut{2, 3}}) {
                const auto a = pack_panel(table, w, 0, cut, std::byte{0x00});
                const auto b = pack_panel(table, w, 0, cut, std::byte{0xff});
                CHECK(a == b);
            }
        }
    });
}

TEST_CASE("columns may be cut at any group, within superblocks too") {
    for_each_packer([](const Table& table, DType type) {
        const Weights w(type, 21, kCols, 3);
        const Inputs x(type, 9, kCols, 4);
        for (std::size_t begin = 0; begin < kGroups; ++begin) {
            for (std::size_t end = begin + 1; end <= kGroups; ++end) {
                CAPTURE(begin);
                CAPTURE(end);
                const Cut cut{begin, end};
                // Streamed rows, and rows that meet expanded codes.
                const std::size_t rows = (begin + end) % 2 == 0 ? 2 : 9;
                const auto packed = pack_all(table, w, cut);
                Output panels = panel_product(table, w, packed, cut, x, rows, 0, w.d);
                Output file = file_product(table, w, outside_cleared(x, cut), rows, 0, w.d);
                REQUIRE(panels == file);
            }
        }
    });
}

TEST_CASE("products of panels are those of the file for any number of rows") {
    for_each_packer([](const Table& table, DType type) {
        const Inputs x(type, 40, kCols, 6);
        for (const std::size_t d : {1, 15, 16, 17, 37, 48, 70}) {
            CAPTURE(d);
            const Weights w(type, d, kCols, 5);
            const Cut whole{0, kGroups};
            const auto packed = pack_all(table, w, whole);
            for (const std::size_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 40}) {
                CAPTURE(rows);
                Output panels = panel_product(table, w, packed, whole, x, rows, 0, d);
                Output file = file_product(table, w, x, rows, 0, d);
                REQUIRE(panels == file);
            }
        }
    });
}

TEST_CASE("an output range of panels writes its own columns only") {
    for_each_packer([](const Table& table, DType type) {
        const Weights w(type, 53, kCols, 7);
        const Inputs x(type, 12, kCols, 8);
        const Cut cut{3, 22};
        const Inputs cleared = outside_cleared(x, cut);
        const auto packed = pack_all(table, w, cut);
        for (std::size_t begin = 0; begin < w.d; begin += kPanelRows) {
            for (std::size_t last = begin; last < w.d + kPanelRows; last += kPanelRows) {
                const std::size_t end = std::min(last, w.d);
                CAPTURE(begin);
                CAPTURE(end);
                for (const std::size_t rows : {1, 5, 12}) {
                    CAPTURE(rows);
                    // Both outputs are poison outside the range.
                    Output panels = panel_product(table, w, packed, cut, x, rows, begin, end);
                    Output file = file_product(table, w, cleared, rows, begin, end);
                    Output untouched(rows, w.d);
                    REQUIRE(panels == file);
                    REQUIRE((panels == untouched) == (begin == end));
                }
            }
        }
    });
}

TEST_CASE("quantised types give the same bits on every vector ISA of this CPU") {
    for (const DType type : kDTypes) {
        if (is_float(type)) continue;
        CAPTURE(label(type));
        const Weights w(type, 37, kCols, 9);
        const Inputs x(type, 17, kCols, 10);
        const Table* first = nullptr;
        for (const Table* table : isa_tables()) {
            if (table->pack_for(type) == nullptr) continue;
            if (first == nullptr) first = table;
            CAPTURE(label(table));
            for (const std::size_t rows : {1, 4, 17}) {
                CAPTURE(rows);
                Output expected = file_product(*first, w, x, rows, 0, w.d);
                Output file = file_product(*table, w, x, rows, 0, w.d);
                CHECK(file == expected);
                const Cut whole{0, kGroups};
                // Panels packed by one ISA are read by all: the layout is one.
                const auto packed = pack_all(*first, w, whole);
                Output panels = panel_product(*table, w, packed, whole, x, rows, 0, w.d);
                CHECK(panels == expected);
            }
        }
    }
}

TEST_SUITE_END();
