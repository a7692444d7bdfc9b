#include "daemon/exec/workspace.hpp"

#include <algorithm>

namespace shoal::exec {
namespace {

// The widest input of a column-cut matrix with `own` columns: these and what completes their
// blocks. A block has at most 256 elements, so a cut adds less than that at each end.
std::size_t widest_cut(std::size_t own) noexcept {
    constexpr std::size_t kMaxBlock = 256;
    return own + 2 * kMaxBlock;
}

std::size_t widest_attended(const model::Hparams& hp, const shard::Slice& slice) noexcept {
    return widest_cut(slice.q_heads.size() * hp.head_dim);
}

// Rows of the buffers of experts.
std::size_t expert_rows_of(const model::Hparams& hp, std::uint32_t max_rows) noexcept {
    return hp.n_experts == 0 ? 0 : max_rows;
}

std::size_t widest_inner(const model::Hparams& hp, const shard::Slice& slice) noexcept {
    return std::max(widest_attended(hp, slice), widest_cut(slice.ffn.size()));
}

}  // namespace

Workspace::Workspace(const model::Hparams& hp, const shard::Slice& slice,
                     const kernels::Table& kernels, std::uint32_t max_rows, bool floats)
    : q_dim(slice.q_heads.size() * hp.head_dim),
      kv_dim(slice.kv_heads.size() * hp.head_dim),
      inner(kernels, max_rows, widest_inner(hp, slice), floats),
      expert_in(kernels, expert_rows_of(hp, max_rows), hp.dim, floats) {
    const std::size_t r = max_rows;
    rows.reserve(r);
    cos.resize(r * (hp.rope_dim / 2));
    sin.resize(r * (hp.rope_dim / 2));
    q.resize(r * q_dim);
    k.resize(r * kv_dim);
    v.resize(r * kv_dim);
    attended.resize(r * widest_attended(hp, slice));
    partial.resize(r * hp.dim);
    const std::size_t expert_r = expert_rows_of(hp, max_rows);
    scores.resize(expert_r * hp.n_experts);
    shares.resize(expert_r * hp.n_experts);
    expert_rows.reserve(expert_r);
    expert_out.resize(expert_r * hp.dim);
}

void Workspace::copy_row(std::size_t from, std::size_t to) noexcept {
    rows[to] = rows[from];
    std::copy_n(q.data() + from * q_dim, q_dim, q.data() + to * q_dim);
}

std::uint64_t Workspace::bytes(const model::Hparams& hp, const shard::Slice& slice,
                               std::uint32_t max_rows) noexcept {
    const std::uint64_t row_floats = hp.rope_dim + slice.q_heads.size() * hp.head_dim +
                                     std::uint64_t{2} * slice.kv_heads.size() * hp.head_dim +
                                     widest_attended(hp, slice) + hp.dim;
    // Floats of activations are counted although quantised models do not have them.
    const std::uint64_t expert_r = expert_rows_of(hp, max_rows);
    return max_rows * row_floats * sizeof(float) +
           Activations::buffer_bytes(max_rows, widest_inner(hp, slice), true) +
           expert_r * (std::uint64_t{2} * hp.n_experts + 1 + hp.dim) * sizeof(float) +
           Activations::buffer_bytes(expert_r, hp.dim, true);
}

}  // namespace shoal::exec
