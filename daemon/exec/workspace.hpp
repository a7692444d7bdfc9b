// The buffers in which the blocks of a layer compute, one block after another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "daemon/exec/activations.hpp"
#include "daemon/exec/attention.hpp"
#include "daemon/model/hparams.hpp"
#include "daemon/shard/slice.hpp"
#include "kernels/kernels.hpp"

namespace shoal::exec {

/// What a slice needs for steps of at most max_rows rows; R = rows of the current step.
struct Workspace {
    /// `floats`: some matrix reads activations as floats. Throws std::bad_alloc.
    Workspace(const model::Hparams& hparams, const shard::Slice& slice,
              const kernels::Table& kernels, std::uint32_t max_rows, bool floats);

    static std::uint64_t bytes(const model::Hparams& hparams, const shard::Slice& slice,
                               std::uint32_t max_rows) noexcept;

    /// Row `to` becomes what row `from` is, in `rows` and `q`.
    void copy_row(std::size_t from, std::size_t to) noexcept;

    const std::size_t q_dim;      // own query heads * head_dim
    const std::size_t kv_dim;     // held KV heads * head_dim
    std::vector<AttendRow> rows;  // (R) the step's rows
    std::vector<float> cos, sin;  // (R, rope_dim / 2) of their angles
    std::vector<float> q;         // (R, q_dim)
    std::vector<float> k, v;      // (R, kv_dim)
    std::vector<float> attended;  // (R, stored columns of attn_output); zero outside own ones
    Activations inner;            // (R, stored columns of attn_output or ffn_down), read by these
    std::vector<float> partial;   // (R, dim) what this device adds to the residual stream
    // Of a mixture of experts; E = n_experts.
    std::vector<float> scores, shares;       // (R, E) of the router; of the output, mostly 0
    std::vector<std::uint32_t> expert_rows;  // rows that the current expert computes
    Activations expert_in;                   // (these rows, dim)
    std::vector<float> expert_out;           // (these rows, dim)
};

}  // namespace shoal::exec
