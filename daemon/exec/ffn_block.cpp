#include "daemon/exec/ffn_block.hpp"

namespace shoal::exec {

using enum model::Tensor;

Status ffn_block(const WeightsView& w, Residual& x, Linear& linear, Workspace& ws,
                 LayerCollective& collective) {
    const Activations& h = x.norm(w.floats(ffn_norm), {&w[ffn_gate], &w[ffn_up]});
    const Matrix& down = w[ffn_down];
    if (down.rows == 0) return x.add(collective, nullptr);
    ws.inner.reset_for(down, x.rows());
    linear.run_gated(h, w[ffn_gate], w[ffn_up], ws.inner, down.skip);
    linear.run(ws.inner, {{&down, ws.partial.data()}});
    return x.add(collective, ws.partial.data());
}

}  // namespace shoal::exec
