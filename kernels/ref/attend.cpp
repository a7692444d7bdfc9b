// Attention of a tile of rows and heads over one block of positions.
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

float load_s8(const std::byte* at) noexcept {
    return static_cast<float>(static_cast<std::int8_t>(*at));
}

/// K and V by their indices; see kv_block_bytes.
template <std::size_t Bytes, float (*Load)(const std::byte*) noexcept>
struct FloatBlock {
    static float key(const AttendTile& t, std::size_t i, std::size_t position) noexcept {
        return Load(t.k + (i * kAttendChunk + position) * Bytes);
    }
    static float value(const AttendTile& t, std::size_t position, std::size_t i) noexcept {
        return Load(t.v + (position * t.head_dim + i) * Bytes);
    }
};

struct Q8Block {
    static float key(const AttendTile& t, std::size_t i, std::size_t position) noexcept {
        const std::byte* scales = t.k + kAttendChunk * t.head_dim;
        return load_f16(scales + (i / kKvScaleElements * kAttendChunk + position) * 2) *
               load_s8(t.k + i * kAttendChunk + position);
    }
    static float value(const AttendTile& t, std::size_t position, std::size_t i) noexcept {
        const std::byte* scales = t.v + kAttendChunk * t.head_dim;
        const std::size_t at = position * t.head_dim + i;
        return load_f16(scales + at / kKvScaleElements * 2) * load_s8(t.v + at);
    }
};

/// One query head of one row; `state` is its place in max, sum and acc.
template <class Block>
void attend_head(const AttendTile& t, const float* q, std::size_t positions,
                 std::size_t state) noexcept {
    float* acc = t.acc + state * t.head_dim;
    float scores[kAttendChunk];
    float max = t.max[state];
    for (std::size_t p = 0; p < positions; ++p) {
        double dot = 0;
        for (std::size_t i = 0; i < t.head_dim; ++i) {
            dot += static_cast<double>(q[i]) * static_cast<double>(Block::key(t, i, p));
        }
        scores[p] = static_cast<float>(dot);
        max = scores[p] > max ? scores[p] : max;
    }
    const float factor = std::exp2((t.max[state] - max) * t.scale);
    float sum = t.sum[state] * factor;
    for (std::size_t i = 0; i < t.head_dim; ++i) acc[i] *= factor;
    for (std::size_t p = 0; p < positions; ++p) {
        const float weight = std::exp2((scores[p] - max) * t.scale);
        sum += weight;
        for (std::size_t i = 0; i < t.head_dim; ++i) acc[i] += weight * Block::value(t, p, i);
    }
    t.max[state] = max;
    t.sum[state] = sum;
}

template <class Block>
void attend(const AttendTile& t) noexcept {
    for (std::size_t r = 0; r < t.rows; ++r) {
        for (std::size_t g = 0; g < t.group; ++g) {
            attend_head<Block>(t, t.q + r * t.q_stride + g * t.head_dim, t.positions[r],
                               r * t.group + g);
        }
    }
}

}  // namespace

void attend_f32(const AttendTile& tile) noexcept {
    attend<FloatBlock<4, load_f32>>(tile);
}

void attend_f16(const AttendTile& tile) noexcept {
    attend<FloatBlock<2, load_f16>>(tile);
}

void attend_q8_0(const AttendTile& tile) noexcept {
    attend<Q8Block>(tile);
}

}  // namespace shoal::kernels::ref
