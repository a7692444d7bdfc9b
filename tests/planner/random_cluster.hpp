// Random models and clusters for the planner's tests.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <string>

#include "daemon/planner/choose.hpp"
#include "daemon/planner/shape.hpp"

namespace shoal::tests {

class Random {
  public:
    explicit Random(std::uint32_t seed) : engine_(seed) {}
    std::uint32_t whole(std::uint32_t least, std::uint32_t most) {
        return std::uniform_int_distribution<std::uint32_t>(least, most)(engine_);
    }
    /// Evenly by magnitude.
    double between(double least, double most) {
        return least *
               std::exp(std::uniform_real_distribution<double>(0, std::log(most / least))(engine_));
    }
    template <typename T>
    T one_of(std::initializer_list<T> choices) {
        return choices.begin()[whole(0, static_cast<std::uint32_t>(choices.size() - 1))];
    }

  private:
    std::mt19937 engine_;
};

inline planner::Shape random_shape(Random& random, std::uint32_t most_kv_heads) {
    planner::Shape s;
    s.n_layers = random.whole(1, 40);
    s.n_kv_heads = random.whole(1, most_kv_heads);
    s.n_heads = s.n_kv_heads * random.one_of({1U, 2U, 3U, 4U});
    s.head_dim = random.one_of({64U, 128U});
    s.dim = 256 * random.whole(1, 16);
    s.n_ff = 32 * random.whole(8, 400);
    s.n_vocab = random.whole(1000, 130000);
    s.type = random.one_of({kernels::DType::f32, kernels::DType::q8_0, kernels::DType::q4_0});
    s.type_output = random.one_of({kernels::DType::f16, kernels::DType::q6_k});
    s.tied_output = random.whole(0, 1) == 1;
    if (random.whole(0, 5) == 0) {
        s.n_experts = random.whole(2, 8);
        s.n_experts_used = random.whole(1, s.n_experts);
    }
    return s;
}

/// Boards and PCs; the arithmetic beside the memory of each is its own.
inline planner::DeviceProfile random_profile(Random& random) {
    auto p = planner::DeviceProfile::guess(random.between(2e9, 60e9));
    const double arithmetic = random.between(0.3, 3);
    for (auto& rates : p.rates) rates.many_rows *= arithmetic;
    return p;
}

inline planner::Cluster random_cluster(Random& random, std::size_t devices) {
    planner::Cluster cluster;
    for (std::size_t i = 0; i < devices; ++i) {
        auto& device = cluster.devices.emplace_back();
        device.name = "device-" + std::to_string(i);
        device.profile = random_profile(random);
    }
    cluster.usual = {random.between(20e-6, 2e-3), random.between(5e6, 1.2e9)};
    if (random.whole(0, 1) == 1) {
        for (std::size_t i = 0; i < devices * devices; ++i) {
            cluster.links.push_back({random.between(20e-6, 2e-3), random.between(5e6, 1.2e9)});
        }
    }
    return cluster;
}

}  // namespace shoal::tests
