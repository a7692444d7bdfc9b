#include "daemon/model/hparams_tensors.hpp"

#include <fmt/format.h>

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "daemon/model/gguf_names.hpp"
#include "daemon/model/hparams_limits.hpp"

namespace shoal::model {
namespace {

[[noreturn]] void fail(const GgufHeader& header, std::string_view tensor, std::string_view what) {
    throw ModelError(fmt::format("{}: tensor {} {}", header.name(), quote(tensor), what));
}

/// Checks the tensors of one model and remembers which it has seen.
class TensorCheck {
  public:
    TensorCheck(const GgufHeader& header, const Hparams& hparams)
        : header_(header), hparams_(hparams) {}

    /// A weight of any type: W (rows, cols).
    void matrix(std::string_view name, std::uint64_t rows, std::uint64_t cols) {
        expect(name, rows, cols);
    }

    /// A norm or bias: whole on every device, and read as floats.
    void vector(std::string_view name, std::uint64_t size) {
        const TensorInfo& info = expect(name, 1, size);
        if (kernels::is_float(info.type)) return;
        fail(header_, name,
             fmt::format("is {}, but norms and biases must be F32, F16 or BF16",
                         tensor_type_name(static_cast<std::uint32_t>(info.type))));
    }

    void layer(std::uint32_t number);
    void refuse_others() const;

  private:
    const TensorInfo& expect(std::string_view name, std::uint64_t rows, std::uint64_t cols) {
        const TensorInfo* info = header_.find_tensor(name);
        if (info == nullptr) fail(header_, name, "is missing");
        if (info->rows != rows || info->cols != cols) {
            fail(header_, name,
                 fmt::format("is {} x {} (rows x columns), expected {} x {}", info->rows,
                             info->cols, rows, cols));
        }
        expected_.insert(info);
        return *info;
    }

    const GgufHeader& header_;
    const Hparams& hparams_;
    std::set<const TensorInfo*> expected_;
};

void TensorCheck::layer(std::uint32_t number) {
    const Hparams& h = hparams_;
    const auto name = [number](std::string_view part) { return tensor_name::layer(number, part); };
    vector(name("attn_norm.weight"), h.dim);
    matrix(name("attn_q.weight"), h.q_dim(), h.dim);
    matrix(name("attn_k.weight"), h.kv_dim(), h.dim);
    matrix(name("attn_v.weight"), h.kv_dim(), h.dim);
    if (h.qkv_bias) {
        vector(name("attn_q.bias"), h.q_dim());
        vector(name("attn_k.bias"), h.kv_dim());
        vector(name("attn_v.bias"), h.kv_dim());
    }
    if (h.qk_norm) {
        vector(name("attn_q_norm.weight"), h.head_dim);
        vector(name("attn_k_norm.weight"), h.head_dim);
    }
    matrix(name("attn_output.weight"), h.dim, h.q_dim());
    vector(name("ffn_norm.weight"), h.dim);
    matrix(name("ffn_gate.weight"), h.n_ff, h.dim);
    matrix(name("ffn_up.weight"), h.n_ff, h.dim);
    matrix(name("ffn_down.weight"), h.dim, h.n_ff);
}

/// The part of "blk.<number>.<part>", empty for other names.
std::string_view layer_part(std::string_view name) noexcept {
    if (!name.starts_with("blk.")) return {};
    name.remove_prefix(4);
    const std::size_t dot = name.find('.');
    return dot == std::string_view::npos ? std::string_view{} : name.substr(dot + 1);
}

/// Tensors that old converters wrote and that hold nothing the metadata does not say.
bool is_harmless(std::string_view name) noexcept {
    const std::string_view part = layer_part(name);
    return name == tensor_name::kRopeFreqs || part == "attn_rot_embd" ||
           part == "attn_rot_embd.weight";
}

void TensorCheck::refuse_others() const {
    std::string first;
    std::size_t others = 0;
    for (const TensorInfo& info : header_.tensors()) {
        if (expected_.contains(&info) || is_harmless(info.name)) continue;
        if (others++ == 0) first = info.name;
    }
    if (others == 0) return;
    const std::string more = others == 1 ? "" : fmt::format(" ({} such tensors in all)", others);
    fail(header_, first,
         fmt::format("is not part of a {} model as it is known here{}: ignoring it would change "
                     "what the model computes, so this variant is not supported",
                     hparams_.architecture, more));
}

}  // namespace

std::string tensor_name::layer(std::uint32_t layer, std::string_view part) {
    return fmt::format("blk.{}.{}", layer, part);
}

void read_tensor_facts(const GgufHeader& header, Hparams& hparams) {
    const TensorInfo* embedding = header.find_tensor(tensor_name::kEmbedding);
    if (embedding == nullptr) {
        fail(header, tensor_name::kEmbedding,
             header.tensors().empty() ? "is missing: the file holds a vocabulary and no weights"
                                      : "is missing");
    }
    if (embedding->rows > limits::kMaxVocabulary) {
        fail(header, tensor_name::kEmbedding,
             fmt::format("has {} rows, more than the limit of {}", embedding->rows,
                         limits::kMaxVocabulary));
    }
    hparams.n_vocab = static_cast<std::uint32_t>(embedding->rows);
    hparams.tied_output = header.find_tensor(tensor_name::kOutput) == nullptr;
    // One of them on any layer means that all of them are needed on all layers.
    for (const TensorInfo& info : header.tensors()) {
        const std::string_view part = layer_part(info.name);
        if (part == "attn_q.bias" || part == "attn_k.bias" || part == "attn_v.bias") {
            hparams.qkv_bias = true;
        }
    }
}

void check_tensors(const GgufHeader& header, const Hparams& hparams) {
    TensorCheck check(header, hparams);
    check.matrix(tensor_name::kEmbedding, hparams.n_vocab, hparams.dim);
    check.vector(tensor_name::kOutputNorm, hparams.dim);
    if (!hparams.tied_output) {
        check.matrix(tensor_name::kOutput, hparams.n_vocab, hparams.dim);
    }
    for (std::uint32_t layer = 0; layer < hparams.n_layers; ++layer) check.layer(layer);
    check.refuse_others();
}

}  // namespace shoal::model
