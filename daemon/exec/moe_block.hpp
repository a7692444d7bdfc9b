// One device's share of a layer's mixture of experts.
#pragma once

#include "daemon/exec/collective.hpp"
#include "daemon/exec/linear.hpp"
#include "daemon/exec/residual.hpp"
#include "daemon/exec/thread_pool.hpp"
#include "daemon/exec/weights.hpp"
#include "daemon/exec/workspace.hpp"
#include "daemon/model/hparams.hpp"

namespace shoal::exec {

/// x += sum over e of p_e down_e @ (silu(gate_e @ h) * (up_e @ h)), h = norm(x), with this device's
/// columns of every expert: p is the softmax of router @ h, of which each row keeps the largest
/// n_experts_used, made to add up to 1.
Status moe_block(const model::Hparams& hparams, const WeightsView& w, Residual& x, Linear& linear,
                 ThreadPool& pool, Workspace& workspace, LayerCollective& collective);

}  // namespace shoal::exec
