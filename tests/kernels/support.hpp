// What the kernel tests share: every table of this CPU, random inputs, buffers with guards.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/blocks.hpp"
#include "kernels/kernels.hpp"

namespace shoal::kernels::test {

inline constexpr double kEpsilon = 0x1p-24;  // unit round-off of f32

/// Every table that this CPU can run, the reference first.
inline std::vector<const Table*> all_tables() {
    std::vector<const Table*> tables;
    for (const Isa isa : kIsas) {
        if (const Table* table = table_for(isa)) tables.push_back(table);
    }
    return tables;
}

/// The tables other than the reference.
inline std::vector<const Table*> isa_tables() {
    auto tables = all_tables();
    tables.erase(tables.begin());
    return tables;
}

inline std::vector<float> random_floats(std::size_t n, std::uint32_t seed, float scale = 1.0f) {
    std::mt19937 rng(seed);
    std::normal_distribution<float> normal(0.0f, scale);
    std::vector<float> values(n);
    for (float& value : values) value = normal(rng);
    // A generator that got stuck would let a kernel pass that reads one element for all.
    if (n > 1) REQUIRE(values[0] != values[1]);
    return values;
}

/// n elements between two guards of poison; intact() says whether a kernel left them alone.
template <class T>
class Guarded {
  public:
    explicit Guarded(std::size_t n) : bytes_((n + 2 * kGuard) * sizeof(T), kPoison), n_(n) {}

    T* data() { return reinterpret_cast<T*>(bytes_.data()) + kGuard; }
    T& operator[](std::size_t i) { return data()[i]; }
    std::size_t size() const { return n_; }

    bool intact() const {
        const std::size_t guard = kGuard * sizeof(T);
        for (std::size_t i = 0; i < guard; ++i) {
            if (bytes_[i] != kPoison || bytes_[bytes_.size() - 1 - i] != kPoison) return false;
        }
        return true;
    }

  private:
    static constexpr std::size_t kGuard = 64;
    static constexpr unsigned char kPoison = 0xa5;
    std::vector<unsigned char> bytes_;
    std::size_t n_;
};

template <class T>
bool same_bits(const T* a, const T* b, std::size_t n) {
    return std::memcmp(a, b, n * sizeof(T)) == 0;
}

/// Bits of a value, to compare where NaNs may occur.
inline std::uint32_t bits_of(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline float from_bits(std::uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline std::string label(DType type) {
    return name(type);
}
inline std::string label(const Table* table) {
    return table->name;
}

}  // namespace shoal::kernels::test
