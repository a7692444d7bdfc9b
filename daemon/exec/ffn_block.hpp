// One device's share of a layer's feed-forward network.
#pragma once

#include "daemon/exec/collective.hpp"
#include "daemon/exec/linear.hpp"
#include "daemon/exec/residual.hpp"
#include "daemon/exec/weights.hpp"
#include "daemon/exec/workspace.hpp"

namespace shoal::exec {

/// x += down @ (silu(gate @ h) * (up @ h)), h = norm(x), with this device's columns of n_ff.
Status ffn_block(const WeightsView& w, Residual& x, Linear& linear, Workspace& workspace,
                 LayerCollective& collective);

}  // namespace shoal::exec
