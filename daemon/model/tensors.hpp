// The tensors that a model consists of, as data: what the checks, the slices, the loading and the
// tests' made models read.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/model/hparams.hpp"

namespace shoal::model {

/// What a tensor is for, in the order of the table below.
enum class Tensor : std::uint8_t {
    token_embd,
    attn_norm,
    attn_q,
    attn_k,
    attn_v,
    attn_q_bias,
    attn_k_bias,
    attn_v_bias,
    attn_q_norm,
    attn_k_norm,
    attn_output,
    ffn_norm,
    ffn_gate,
    ffn_up,
    ffn_down,
    ffn_gate_inp,
    ffn_gate_exps,
    ffn_up_exps,
    ffn_down_exps,
    output_norm,
    output,
};

/// Matrices are multiplied in the type that the file has. Norms, biases and routers are F32, F16 or
/// BF16 in the file, and held as f32. A router's products choose experts.
enum class Kind : std::uint8_t { matrix, norm, bias, router };

/// What a dimension runs over. Slices cut heads, FFN columns and the vocabulary, and with them
/// each tensor that has such a dimension; a tensor without is whole on every device.
enum class Axis : std::uint8_t {
    one,       ///< the rows of a vector
    width,     ///< the residual stream
    head,      ///< the elements of one head
    q_heads,   ///< the elements of all query heads
    kv_heads,  ///< the elements of all KV heads
    ffn,       ///< the columns of the layer's feed-forward network, or of each of its experts
    experts,   ///< the experts, all of which every device has
    vocab,
};

enum class Scope : std::uint8_t { model, layer };

/// Which models have a tensor.
using Condition = bool (*)(const Hparams&) noexcept;

struct TensorSpec {
    Tensor tensor;
    Scope scope;
    std::string_view name;  ///< in the file; of a layer's behind "blk.<layer>."
    Kind kind;
    Axis rows, cols;  ///< W (rows, cols)
    Condition needed;
    Axis matrices = Axis::one;  ///< how many such W
};

namespace needed {
constexpr bool always(const Hparams&) noexcept {
    return true;
}
constexpr bool if_bias(const Hparams& h) noexcept {
    return h.qkv_bias;
}
constexpr bool if_qk_norm(const Hparams& h) noexcept {
    return h.qk_norm;
}
constexpr bool if_dense(const Hparams& h) noexcept {
    return h.n_experts == 0;
}
constexpr bool if_moe(const Hparams& h) noexcept {
    return h.n_experts != 0;
}
constexpr bool if_untied(const Hparams& h) noexcept {
    return !h.tied_output;
}
}  // namespace needed

/// The table. A layer's tensors stand together.
inline constexpr std::array kTensors = [] {
    using enum Tensor;
    using enum Scope;
    using enum Kind;
    using enum Axis;
    using namespace needed;
    using namespace tensor_name;
    using Row = TensorSpec;
    return std::array{
        // clang-format off
        Row{token_embd,    model, kEmbedding,             matrix, vocab,    width,    always},
        Row{attn_norm,     layer, "attn_norm.weight",     norm,   one,      width,    always},
        Row{attn_q,        layer, "attn_q.weight",        matrix, q_heads,  width,    always},
        Row{attn_k,        layer, "attn_k.weight",        matrix, kv_heads, width,    always},
        Row{attn_v,        layer, "attn_v.weight",        matrix, kv_heads, width,    always},
        Row{attn_q_bias,   layer, "attn_q.bias",          bias,   one,      q_heads,  if_bias},
        Row{attn_k_bias,   layer, "attn_k.bias",          bias,   one,      kv_heads, if_bias},
        Row{attn_v_bias,   layer, "attn_v.bias",          bias,   one,      kv_heads, if_bias},
        Row{attn_q_norm,   layer, "attn_q_norm.weight",   norm,   one,      head,     if_qk_norm},
        Row{attn_k_norm,   layer, "attn_k_norm.weight",   norm,   one,      head,     if_qk_norm},
        Row{attn_output,   layer, "attn_output.weight",   matrix, width,    q_heads,  always},
        Row{ffn_norm,      layer, "ffn_norm.weight",      norm,   one,      width,    always},
        Row{ffn_gate,      layer, "ffn_gate.weight",      matrix, ffn,      width,    if_dense},
        Row{ffn_up,        layer, "ffn_up.weight",        matrix, ffn,      width,    if_dense},
        Row{ffn_down,      layer, "ffn_down.weight",      matrix, width,    ffn,      if_dense},
        Row{ffn_gate_inp,  layer, "ffn_gate_inp.weight",  router, experts,  width,    if_moe},
        Row{ffn_gate_exps, layer, "ffn_gate_exps.weight", matrix, ffn,      width,    if_moe, experts},
        Row{ffn_up_exps,   layer, "ffn_up_exps.weight",   matrix, ffn,      width,    if_moe, experts},
        Row{ffn_down_exps, layer, "ffn_down_exps.weight", matrix, width,    ffn,      if_moe, experts},
        Row{output_norm,   model, kOutputNorm,            norm,   one,      width,    always},
        Row{output,        model, kOutput,                matrix, vocab,    width,    if_untied},
        // clang-format on
    };
}();
inline constexpr std::size_t kTensorCount = kTensors.size();

/// The matrix whose rows are multiplied for logits.
constexpr Tensor lm_head(const Hparams& hparams) noexcept {
    return hparams.tied_output ? Tensor::token_embd : Tensor::output;
}

/// The elements along an axis of a layer's tensors; any layer will do for those of none.
std::uint32_t length(Axis axis, const Hparams& hparams, std::uint32_t layer) noexcept;

/// A row of the table in one model.
struct ModelTensor {
    const TensorSpec* spec;
    std::uint32_t layer;  ///< 0 for the model's own
    std::string name;     ///< in the file
    std::uint32_t rows, cols, matrices;
};

/// All that a model of this description has, in the table's order, layer by layer.
std::vector<ModelTensor> tensors_of(const Hparams& hparams);

}  // namespace shoal::model
