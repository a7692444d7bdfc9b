#include "tests/model/tensor_filler.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/kernels.hpp"

namespace shoal::tests {
namespace {

/// A bijection of 64 bits that leaves no visible pattern.
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (SplitMix64).
std::uint64_t mix(std::uint64_t z) noexcept {
    z += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/// FNV-1a.
std::uint64_t hash(std::string_view text) noexcept {
    std::uint64_t value = 0xcbf29ce484222325;
    for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return value;
}

/// Values of one run of a pool: whole blocks of every type.
constexpr std::size_t kRun = 256;
constexpr std::size_t kPoolRuns = 4096;
/// Rows are put together from a pool from this size on. So many runs a row make equal rows as good
/// as impossible.
constexpr std::uint64_t kPooledCols = 4 * kRun;
constexpr std::uint64_t kPooledElements = std::uint64_t{1} << 20;

/// Call work(begin, end) for parts of [0, count) on several threads.
template <class Work>
void in_parallel(std::uint64_t count, unsigned threads, const Work& work) {
    const std::uint64_t workers = std::clamp<std::uint64_t>(threads, 1, count);
    std::vector<std::jthread> pool;
    for (std::uint64_t w = 1; w < workers; ++w) {
        pool.emplace_back(work, count * w / workers, count * (w + 1) / workers);
    }
    work(std::uint64_t{0}, count / workers);
}

RowSource noise_rows(std::uint64_t key, float mean, float deviation) {
    // Uniform over [-a, a] has the deviation a / sqrt(3). Four values from each random word.
    const float scale = deviation * std::sqrt(3.0F) / 32767.5F;
    return [=](std::uint64_t row, std::span<float> out) {
        const std::uint64_t row_key = mix(key + row);
        std::uint64_t word = 0;
        for (std::size_t i = 0; i < out.size(); ++i) {
            word = i % 4 == 0 ? mix(row_key + i) : word >> 16;
            out[i] = mean + (static_cast<float>(word & 0xffff) - 32767.5F) * scale;
        }
    };
}

}  // namespace

model::GgufWriter::Fill quantised_rows(kernels::DType type, std::uint64_t cols, RowSource source,
                                       unsigned threads) {
    return [=](std::uint64_t first, std::uint64_t count, std::span<std::byte> out) {
        const std::size_t row_bytes = kernels::row_bytes(type, cols);
        in_parallel(count, threads, [&](std::uint64_t begin, std::uint64_t end) {
            std::vector<float> row(cols);
            for (std::uint64_t i = begin; i < end; ++i) {
                source(first + i, row);
                kernels::quantize(type, row.data(), out.data() + i * row_bytes, cols);
            }
        });
    };
}

const NoiseSource::Pool& NoiseSource::pool(kernels::DType type, float mean, float deviation) {
    Pool& pool = pools_[{type, mean, deviation}];
    if (pool.empty()) {
        pool.resize(kernels::row_bytes(type, kPoolRuns * kRun));
        quantised_rows(type, kRun, noise_rows(mix(seed_), mean, deviation), threads_)(0, kPoolRuns,
                                                                                      pool);
    }
    return pool;
}

model::GgufWriter::Fill NoiseSource::fill(std::string_view tensor, kernels::DType type,
                                          std::uint64_t cols, std::uint64_t rows, float mean,
                                          float deviation) {
    const std::uint64_t key = mix(seed_ ^ hash(tensor));
    if (cols < kPooledCols || cols % kRun != 0 || cols * rows < kPooledElements) {
        return quantised_rows(type, cols, noise_rows(key, mean, deviation), threads_);
    }
    return [=, this](std::uint64_t first, std::uint64_t count, std::span<std::byte> out) {
        const Pool& from = pool(type, mean, deviation);
        const std::size_t run_bytes = kernels::row_bytes(type, kRun);
        const std::uint64_t runs = cols / kRun;
        in_parallel(count * runs, threads_, [&](std::uint64_t begin, std::uint64_t end) {
            for (std::uint64_t i = begin; i < end; ++i) {
                const std::size_t run = mix(key + first * runs + i) % kPoolRuns;
                std::memcpy(out.data() + i * run_bytes, from.data() + run * run_bytes, run_bytes);
            }
        });
    };
}

}  // namespace shoal::tests
