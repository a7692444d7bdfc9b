#include "daemon/model/hparams_tensors.hpp"

#include <fmt/format.h>

#include <set>
#include <string>
#include <string_view>

#include "daemon/model/gguf_names.hpp"
#include "daemon/model/hparams_limits.hpp"
#include "daemon/model/tensors.hpp"

namespace shoal::model {
namespace {

[[noreturn]] void fail(const GgufHeader& header, std::string_view tensor, std::string_view what) {
    throw ModelError(fmt::format("{}: tensor {} {}", header.name(), quote(tensor), what));
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

void check_tensor(const GgufHeader& header, const TensorInfo& info, const ModelTensor& wanted) {
    if (info.matrices != wanted.matrices) {
        fail(header, info.name,
             fmt::format("holds {} matrices, expected {}", info.matrices, wanted.matrices));
    }
    if (info.rows != std::uint64_t{wanted.matrices} * wanted.rows || info.cols != wanted.cols) {
        fail(header, info.name,
             fmt::format("is {} x {} (rows x columns), expected {} x {}", info.rows / info.matrices,
                         info.cols, wanted.rows, wanted.cols));
    }
    if (wanted.spec->kind == Kind::matrix || kernels::is_float(info.type)) return;
    fail(header, info.name,
         fmt::format("is {}, but norms, biases and routers must be F32, F16 or BF16",
                     tensor_type_name(static_cast<std::uint32_t>(info.type))));
}

void refuse_others(const GgufHeader& header, const Hparams& hparams,
                   const std::set<const TensorInfo*>& known) {
    std::string first;
    std::size_t others = 0;
    for (const TensorInfo& info : header.tensors()) {
        if (known.contains(&info) || is_harmless(info.name)) continue;
        if (others++ == 0) first = info.name;
    }
    if (others == 0) return;
    const std::string more = others == 1 ? "" : fmt::format(" ({} such tensors in all)", others);
    fail(header, first,
         fmt::format("is not part of a {} model as it is known here{}: ignoring it would change "
                     "what the model computes, so this variant is not supported",
                     hparams.architecture, more));
}

}  // namespace

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
    std::set<const TensorInfo*> known;
    for (const ModelTensor& tensor : tensors_of(hparams)) {
        const TensorInfo* info = header.find_tensor(tensor.name);
        if (info == nullptr) fail(header, tensor.name, "is missing");
        check_tensor(header, *info, tensor);
        known.insert(info);
    }
    refuse_others(header, hparams, known);
}

}  // namespace shoal::model
