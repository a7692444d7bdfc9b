// Attention over one chunk of positions.
#include <cmath>
#include <cstring>

#include "kernels/ref/half.hpp"
#include "kernels/ref/ref.hpp"

namespace shoal::kernels::ref {
namespace {

float load_f32(const std::byte* at) noexcept {
    float value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

float load_f16(const std::byte* at) noexcept {
    std::uint16_t bits;
    std::memcpy(&bits, at, sizeof bits);
    return f16_to_f32(bits);
}

/// One query head. Its numbers depend on its own q and the chunk alone, never on the group.
template <std::size_t Bytes, float (*Load)(const std::byte*) noexcept>
void attend_head(const AttendChunk& c, std::size_t head) noexcept {
    const float* q = c.q + head * c.head_dim;
    float* acc = c.acc + head * c.head_dim;
    float scores[kAttendChunk];
    float max = -INFINITY;
    for (std::size_t p = 0; p < c.positions; ++p) {
        const std::byte* k = c.k + p * c.kv_stride;
        double dot = 0;
        for (std::size_t i = 0; i < c.head_dim; ++i) {
            dot += static_cast<double>(q[i]) * static_cast<double>(Load(k + i * Bytes));
        }
        scores[p] = static_cast<float>(dot) * c.scale;
        max = scores[p] > max ? scores[p] : max;
    }
    float sum = 0;
    for (std::size_t i = 0; i < c.head_dim; ++i) acc[i] = 0;
    for (std::size_t p = 0; p < c.positions; ++p) {
        const float weight = std::exp(scores[p] - max);
        const std::byte* v = c.v + p * c.kv_stride;
        sum += weight;
        for (std::size_t i = 0; i < c.head_dim; ++i) acc[i] += weight * Load(v + i * Bytes);
    }
    c.max[head] = max;
    c.sum[head] = sum;
}

}  // namespace

void attend_f32(const AttendChunk& chunk) noexcept {
    for (std::size_t h = 0; h < chunk.group; ++h) attend_head<4, load_f32>(chunk, h);
}

void attend_f16(const AttendChunk& chunk) noexcept {
    for (std::size_t h = 0; h < chunk.group; ++h) attend_head<2, load_f16>(chunk, h);
}

}  // namespace shoal::kernels::ref
