#include "daemon/measure/products.hpp"

#include <algorithm>
#include <vector>

#include "daemon/exec/activations.hpp"
#include "kernels/panel.hpp"

namespace shoal::measure {
namespace {

constexpr std::uint32_t kCols = 2048;
// Of the matrix that many rows meet, and how many they are: as many as a prompt's steps have
// (models.batch_tokens). Fewer where the device takes long for them.
constexpr std::uint32_t kManyOutputs = 2048;
constexpr std::size_t kManyRows = 256, kFewerRows = 64, kTrialRows = 16;

std::size_t panel_bytes(kernels::DType type, bool packed) {
    return packed ? kernels::panel_bytes(type, 0, kCols / kernels::kActivationBlock)
                  : kernels::kPanelRows * kernels::row_bytes(type, kCols);
}

// Different values, none of them 0.
std::vector<float> values(std::size_t count) {
    std::vector<float> x(count);
    for (std::size_t i = 0; i < count; ++i) {
        x[i] = 0.25F + static_cast<float>(i * 37 % 101) / 101.0F;
    }
    return x;
}

exec::Activations input_for(const kernels::Table& kernels, const exec::Matrix& w,
                            std::size_t rows) {
    exec::Activations input(kernels, rows, kCols, kernels::is_float(w.type));
    input.reset(rows, kCols, {&w});
    const std::vector<float> x = values(kCols);
    for (std::size_t r = 0; r < rows; ++r) input.store(r, 0, x.data(), kCols);
    return input;
}

}  // namespace

Products::Products(const kernels::Table& kernels, exec::ThreadPool& pool, std::uint64_t bytes)
    : kernels_(kernels),
      linear_(kernels, pool),
      bytes_(std::max<std::uint64_t>(bytes, panel_bytes(kernels::DType::f32, false))),
      memory_(bytes_) {
    fill_weights({memory_.data(), bytes_});
}

planner::Rates Products::rates(planner::Family family, const Passes& passes) {
    const kernels::DType type = planner::type_of(family);
    const bool packed = kernels_.pack_for(type) != nullptr;
    planner::Rates rates;
    rates.one_row = one_row(matrix(type, packed, UINT32_MAX), passes);
    rates.many_rows = many_rows(matrix(type, packed, kManyOutputs), passes);
    rates.in_file = packed ? many_rows(matrix(type, false, kManyOutputs), passes) : rates.many_rows;
    return rates;
}

// The largest matrix that fits the memory.
exec::Matrix Products::matrix(kernels::DType type, bool packed,
                              std::uint32_t most_rows) const noexcept {
    const std::uint64_t panels = bytes_ / panel_bytes(type, packed);
    exec::Matrix w;
    w.type = type;
    w.packed = packed;
    w.data = memory_.data();
    w.stride = kernels::row_bytes(type, kCols);
    w.rows = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(panels * kernels::kPanelRows, most_rows));
    w.cols = kCols;
    w.own_cols = kCols;
    return w;
}

// Bytes a second, counted as the file has them, since that is what is known of a model.
double Products::one_row(const exec::Matrix& w, const Passes& passes) {
    const exec::Activations input = input_for(kernels_, w, 1);
    std::vector<float> y(w.rows);
    const double seconds = passes.quickest([&] { linear_.run(input, {{&w, y.data()}}); });
    return static_cast<double>(w.rows) * static_cast<double>(w.stride) / seconds;
}

double Products::many_rows(const exec::Matrix& w, const Passes& passes) {
    std::vector<float> y(kManyRows * w.rows);
    const exec::Activations trial = input_for(kernels_, w, kTrialRows);
    const double tried = Passes::once([&] { linear_.run(trial, {{&w, y.data()}}); });
    const bool quick = tried * (kManyRows / kTrialRows) < passes.seconds();
    const std::size_t rows = quick ? kManyRows : kFewerRows;
    const exec::Activations input = input_for(kernels_, w, rows);
    const double seconds = passes.quickest([&] { linear_.run(input, {{&w, y.data()}}); });
    return static_cast<double>(rows) * w.rows * w.cols / seconds;
}

}  // namespace shoal::measure
