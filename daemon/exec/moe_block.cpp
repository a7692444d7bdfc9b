#include "daemon/exec/moe_block.hpp"

#include <algorithm>
#include <bitset>
#include <cmath>

#include "daemon/model/hparams_limits.hpp"

namespace shoal::exec {
namespace {

using enum model::Tensor;

// Rows of the router that a thread takes at a time.
constexpr std::size_t kRouterChunk = 16;

struct Moe {
    const std::size_t dim, experts, used;
    const WeightsView& w;
    const Activations& h;
    Linear& linear;
    ThreadPool& pool;
    Workspace& ws;

    void route() const noexcept;
    void choose(std::size_t row) const noexcept;
    void add_expert(std::size_t e) const noexcept;
};

// scores = router @ h as the portable kernels compute it, on every instruction set: all devices
// must choose the same experts, and products of floats are the same to the last bit only so.
void Moe::route() const noexcept {
    const Matrix& router = w[ffn_gate_inp];
    const auto matmul = kernels::reference().matmul_for(router.type);
    const std::size_t chunks = (experts + kRouterChunk - 1) / kRouterChunk;
    pool.run(h.rows() * chunks, 1, [&](std::size_t i, std::size_t) {
        const std::size_t row = i / chunks;
        const std::size_t begin = i % chunks * kRouterChunk;
        const std::size_t end = std::min(begin + kRouterChunk, experts);
        matmul({router.data, router.stride, h.floats(row), 0, &ws.scores[row * experts], 0, dim, 1,
                begin, end});
    });
    pool.run(h.rows(), kRowChunk, [&](std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r) choose(r);
    });
}

// The row's best experts; of equal ones, and among NaNs, the first. Their softmax over all experts,
// made to add up to 1, is the softmax over themselves.
void Moe::choose(std::size_t row) const noexcept {
    const float* const score = &ws.scores[row * experts];
    float* const share = &ws.shares[row * experts];
    std::bitset<model::limits::kMaxExperts> chosen;
    for (std::size_t i = 0; i < used; ++i) {
        std::size_t best = experts;
        for (std::size_t e = 0; e < experts; ++e) {
            if (!chosen[e] && (best == experts || score[e] > score[best])) best = e;
        }
        chosen.set(best);
    }
    const double max = *std::max_element(score, score + experts);
    double sum = 0;
    for (std::size_t e = 0; e < experts; ++e) {
        if (chosen[e]) sum += std::exp(score[e] - max);
    }
    for (std::size_t e = 0; e < experts; ++e) {
        share[e] = chosen[e] ? static_cast<float>(std::exp(score[e] - max) / sum) : 0;
    }
}

// partial += p_e down_e @ (silu(gate_e @ h) * (up_e @ h)) for the rows that have chosen e.
void Moe::add_expert(std::size_t e) const noexcept {
    ws.expert_rows.clear();
    for (std::uint32_t r = 0; r < h.rows(); ++r) {
        if (ws.shares[r * experts + e] != 0) ws.expert_rows.push_back(r);
    }
    const std::size_t rows = ws.expert_rows.size();
    if (rows == 0) return;
    const Matrix& gate = w.all(ffn_gate_exps)[e];
    const Matrix& up = w.all(ffn_up_exps)[e];
    const Matrix& down = w.all(ffn_down_exps)[e];
    ws.expert_in.take(h, ws.expert_rows);
    ws.inner.reset_for(down, rows);
    linear.run_gated(ws.expert_in, gate, up, ws.inner, down.skip);
    linear.run(ws.inner, {{&down, ws.expert_out.data()}});
    pool.run(rows, kRowChunk, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const std::size_t row = ws.expert_rows[i];
            const float share = ws.shares[row * experts + e];
            const float* const y = &ws.expert_out[i * dim];
            float* const sum = &ws.partial[row * dim];
            for (std::size_t k = 0; k < dim; ++k) sum[k] += share * y[k];
        }
    });
}

}  // namespace

Status moe_block(const model::Hparams& hp, const WeightsView& w, Residual& x, Linear& linear,
                 ThreadPool& pool, Workspace& ws, LayerCollective& collective) {
    const Activations& h =
        x.norm(w.floats(ffn_norm), {&w[ffn_gate_inp], &w[ffn_gate_exps], &w[ffn_up_exps]});
    if (w[ffn_down_exps].rows == 0) return x.add(collective, nullptr);
    const Moe moe{hp.dim, hp.n_experts, hp.n_experts_used, w, h, linear, pool, ws};
    moe.route();
    std::fill_n(ws.partial.begin(), x.rows() * moe.dim, 0.0F);
    for (std::size_t e = 0; e < moe.experts; ++e) moe.add_expert(e);
    return x.add(collective, ws.partial.data());
}

}  // namespace shoal::exec
