#include "daemon/model/hparams.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <utility>

#include "daemon/model/gguf_names.hpp"
#include "daemon/model/hparams_keys.hpp"
#include "daemon/model/hparams_limits.hpp"
#include "daemon/model/hparams_tensors.hpp"
#include "daemon/model/piece.hpp"

namespace shoal::model {
namespace {

/// How the architectures differ; everything else is the same Llama-style decoder.
struct Architecture {
    std::string_view name;
    kernels::RopeKind rope_kind;
    bool needs_qkv_bias;
    bool qk_norm;
    bool experts;
};

constexpr Architecture kArchitectures[] = {
    {"llama", kernels::RopeKind::interleaved, false, false, false},
    {"qwen2", kernels::RopeKind::half_split, true, false, false},
    {"qwen3", kernels::RopeKind::half_split, false, true, false},
    {"qwen3moe", kernels::RopeKind::half_split, false, true, true},
};

/// A key that changes what the model computes unless it has its neutral value.
struct Refused {
    std::string_view key;  ///< after "<architecture>."
    double neutral;
    const char* what;
};

constexpr Refused kRefused[] = {
    {"expert_shared_count", 0, "shared experts"},
    {"expert_group_count", 1, "groups of experts"},
    {"expert_gating_func", 1, "experts chosen by another function than softmax"},
    {"expert_weights_norm", 1, "weights of experts that do not add up to 1"},
    {"expert_weights_scale", 1, "scaled weights of experts"},
    {"leading_dense_block_count", 0, "dense layers among those of experts"},
    {"attention.causal", 1, "attention that is not causal"},
    {"attention.clamp_kqv", 0, "clamped queries, keys and values"},
    {"attention.max_alibi_bias", 0, "ALiBi"},
    {"attention.scale", 0, "another attention scale"},
    {"attention.output_scale", 0, "another attention scale"},
    {"attention.temperature_length", 0, "attention temperature"},
    {"attn_logit_softcapping", 0, "capped attention scores"},
    {"final_logit_softcapping", 0, "capped logits"},
    {"logit_scale", 1, "scaled logits"},
    {"embedding_scale", 1, "scaled embeddings"},
    {"residual_scale", 1, "a scaled residual stream"},
    {"use_parallel_residual", 0, "parallel attention and feed-forward"},
    {"swin_norm", 0, "norms after the layers"},
    {"rope.scaling.attn_factor", 1, "another attention scale"},
    {"nextn_predict_layers", 0, "layers that predict several tokens"},
};

void refuse(const Keys& keys, const Refused& refused) {
    if (!keys.differs_from(refused.key, refused.neutral)) return;
    keys.fail(refused.key, fmt::format("asks for {}: not supported", refused.what));
}

const Architecture& architecture_of(const GgufHeader& header) {
    const std::string_view type = header.get_string_or("general.type", "model");
    if (type != "model") {
        throw ModelError(
            fmt::format("{}: key 'general.type' is {}: the file is not a model by "
                        "itself",
                        header.name(), quote(type)));
    }
    const std::string_view name = header.get_string("general.architecture");
    std::string known;
    for (const Architecture& architecture : kArchitectures) {
        if (architecture.name == name) return architecture;
        known += known.empty() ? "" : ", ";
        known += architecture.name;
    }
    throw ModelError(fmt::format("{}: key 'general.architecture' is {}; supported are {}",
                                 header.name(), quote(name), known));
}

void read_heads(const Keys& keys, Hparams& h) {
    h.n_heads = keys.count("attention.head_count", limits::kMaxHeads);
    h.n_kv_heads = keys.count_or("attention.head_count_kv", limits::kMaxHeads, h.n_heads);
    if (h.n_heads % h.n_kv_heads != 0) {
        keys.fail("attention.head_count_kv", fmt::format("is {}, which does not divide the {} "
                                                         "query heads",
                                                         h.n_kv_heads, h.n_heads));
    }
    if (keys.has("attention.key_length")) {
        h.head_dim = keys.count("attention.key_length", limits::kMaxHeadDim);
    } else if (h.dim % h.n_heads == 0) {
        h.head_dim = h.dim / h.n_heads;
    } else {
        keys.fail("attention.head_count", fmt::format("is {}, which does not divide the width {}, "
                                                      "and attention.key_length is missing",
                                                      h.n_heads, h.dim));
    }
    if (h.head_dim > limits::kMaxHeadDim) {
        keys.fail("attention.head_count", fmt::format("makes heads of {} elements, more than the "
                                                      "limit of {}",
                                                      h.head_dim, limits::kMaxHeadDim));
    }
    const std::uint32_t value_length =
        keys.count_or("attention.value_length", limits::kMaxHeadDim, h.head_dim);
    if (value_length != h.head_dim) {
        keys.fail("attention.value_length", fmt::format("is {}, but keys have {} elements: heads "
                                                        "with unlike keys and values are not "
                                                        "supported",
                                                        value_length, h.head_dim));
    }
    // Counts within their limits, so that the product cannot overflow.
    static_assert(std::uint64_t{limits::kMaxHeads} * limits::kMaxHeadDim <= 0xffffffff);
    if (h.q_dim() > limits::kMaxWidth) {
        keys.fail("attention.head_count", fmt::format("makes {} heads of {} elements, more than "
                                                      "the limit of {} in all",
                                                      h.n_heads, h.head_dim, limits::kMaxWidth));
    }
}

void read_experts(const Keys& keys, Hparams& h) {
    h.n_experts = keys.count("expert_count", limits::kMaxExperts);
    h.n_experts_used = keys.count("expert_used_count", limits::kMaxExperts);
    if (h.n_experts_used > h.n_experts) {
        keys.fail("expert_used_count",
                  fmt::format("is {}, but there are {} experts", h.n_experts_used, h.n_experts));
    }
    if (h.n_experts * h.n_layers > limits::kMaxExpertsInAll) {
        keys.fail("expert_count",
                  fmt::format("makes {} experts in {} layers, more than the limit "
                              "of {}",
                              h.n_experts * h.n_layers, h.n_layers, limits::kMaxExpertsInAll));
    }
}

// A window that no position of the context reaches beyond changes nothing.
void refuse_window(const Keys& keys, const Hparams& h) {
    if (!keys.differs_from("attention.sliding_window", 0)) return;
    if (keys.number("attention.sliding_window") >= h.n_context) return;
    keys.fail("attention.sliding_window", "asks for sliding-window attention: not supported");
}

void read_rope_scaling(const Keys& keys, Hparams& h) {
    const std::string_view type = keys.text_or("rope.scaling.type", "linear");
    if (type == "none") return;
    // YaRN by a factor of 1 turns by the same angles and scales attention by 1.
    if (type == "yarn" && !keys.differs_from("rope.scaling.factor", 1) &&
        !keys.differs_from("rope.scaling.yarn_attn_factor", 1)) {
        return;
    }
    if (type != "linear") {
        keys.fail("rope.scaling.type",
                  fmt::format("is {}: only 'none' and 'linear' are supported", quote(type)));
    }
    // The newer key wins, and a factor of 0 has always meant no scaling.
    const char* key = keys.has("rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear";
    if (keys.differs_from(key, 0)) {
        h.rope_scale = static_cast<float>(keys.positive(key, limits::kMaxRopeScale));
    }
}

void read_rope(const Keys& keys, Hparams& h) {
    h.rope_dim = keys.count_or("rope.dimension_count", limits::kMaxHeadDim, h.head_dim);
    if (h.rope_dim % 2 != 0 || h.rope_dim > h.head_dim) {
        keys.fail("rope.dimension_count", fmt::format("is {}, expected an even number up to the {} "
                                                      "elements of a head",
                                                      h.rope_dim, h.head_dim));
    }
    h.rope_base =
        static_cast<float>(keys.positive_or("rope.freq_base", limits::kMaxRopeBase, h.rope_base));
    read_rope_scaling(keys, h);
}

void read_rope_freqs(const GgufHeader& header, std::span<const std::byte> data, Hparams& h) {
    const TensorInfo* info = header.find_tensor(tensor_name::kRopeFreqs);
    if (info == nullptr) return;
    const auto fail = [&](std::string_view what) {
        throw ModelError(
            fmt::format("{}: tensor {} {}", header.name(), quote(tensor_name::kRopeFreqs), what));
    };
    if (info->type != kernels::DType::f32 || info->rows != 1 || info->cols != h.rope_dim / 2) {
        fail(fmt::format("is {} x {} of {}, expected 1 x {} of F32", info->rows, info->cols,
                         tensor_type_name(static_cast<std::uint32_t>(info->type)), h.rope_dim / 2));
    }
    if (data.size() != info->bytes) {
        fail(fmt::format("has {} bytes of data here, expected {}", data.size(), info->bytes));
    }
    h.rope_freqs.resize(h.rope_dim / 2);
    std::memcpy(h.rope_freqs.data(), data.data(), data.size());
    for (std::size_t i = 0; i < h.rope_freqs.size(); ++i) {
        const float value = h.rope_freqs[i];
        if (!(value > 0) || !std::isfinite(value)) {
            fail(fmt::format("has {} as element {}, expected a positive number", value, i));
        }
    }
}

void check_vocabulary(const GgufHeader& header, const Hparams& h) {
    const MetaArray* tokens = header.find_array("tokenizer.ggml.tokens");
    if (tokens == nullptr) return;
    const std::size_t count = std::visit([](const auto& v) { return v.size(); }, tokens->items);
    // Fewer is common: embeddings are padded to round numbers.
    if (count > h.n_vocab) {
        throw ModelError(
            fmt::format("{}: key 'tokenizer.ggml.tokens' has {} tokens, but tensor {} "
                        "has only {} rows",
                        header.name(), count, quote(tensor_name::kEmbedding), h.n_vocab));
    }
}

}  // namespace

std::vector<float> Hparams::inverse_frequencies() const {
    std::vector<float> inverse(rope_dim / 2);
    for (std::size_t i = 0; i < inverse.size(); ++i) {
        const double exponent = -2.0 * static_cast<double>(i) / rope_dim;
        double frequency =
            std::pow(static_cast<double>(rope_base), exponent) / static_cast<double>(rope_scale);
        if (!rope_freqs.empty()) frequency /= static_cast<double>(rope_freqs[i]);
        inverse[i] = static_cast<float>(frequency);
    }
    return inverse;
}

Hparams read_keys(const GgufHeader& header) {
    const Architecture& architecture = architecture_of(header);
    const Keys keys(header, architecture.name);
    for (const Refused& refused : kRefused) refuse(keys, refused);

    Hparams h;
    h.architecture = architecture.name;
    h.name = header.get_string_or("general.name", "");
    if (h.name.empty()) h.name = std::filesystem::path(header.name()).stem().string();
    h.n_layers = keys.count("block_count", limits::kMaxLayers);
    h.dim = keys.count("embedding_length", limits::kMaxWidth);
    if (architecture.experts) {
        read_experts(keys, h);
    } else {
        refuse(keys, {"expert_count", 0, "mixtures of experts"});
    }
    const char* ff = architecture.experts ? "expert_feed_forward_length" : "feed_forward_length";
    h.layer_ff = keys.counts(ff, limits::kMaxFfn, h.n_layers);
    h.n_ff = *std::max_element(h.layer_ff.begin(), h.layer_ff.end());
    h.n_context = keys.count("context_length", limits::kMaxContext);
    refuse_window(keys, h);
    h.norm_eps = static_cast<float>(keys.positive("attention.layer_norm_rms_epsilon", 1));
    read_heads(keys, h);
    h.rope_kind = architecture.rope_kind;
    read_rope(keys, h);
    h.qkv_bias = architecture.needs_qkv_bias;
    h.qk_norm = architecture.qk_norm;
    if (keys.has("pooling_type")) {
        h.pooling_type = static_cast<std::uint32_t>(
            std::min<std::uint64_t>(keys.number("pooling_type"), UINT32_MAX));
    }
    return h;
}

Hparams read_hparams(const GgufHeader& header, std::span<const std::byte> rope_freqs_data) {
    Hparams h = read_keys(header);
    read_rope_freqs(header, rope_freqs_data, h);
    read_tensor_facts(header, h);
    check_tensors(header, h);
    check_vocabulary(header, h);
    return h;
}

Hparams read_hparams(const WeightSource& source) {
    const TensorInfo* freqs = source.header().find_tensor(tensor_name::kRopeFreqs);
    // A tensor too long to be one is refused by its shape, unread.
    std::vector<std::byte> data;
    if (freqs != nullptr && freqs->bytes <= limits::kMaxHeadDim * sizeof(float)) {
        data.resize(freqs->bytes);
        source.read(whole(*freqs), 0, data);
    }
    return read_hparams(source.header(), data);
}

Hparams read_hparams(const GgufFile& file) {
    return read_hparams(FileSource(file));
}

}  // namespace shoal::model
