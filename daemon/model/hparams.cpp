#include "daemon/model/hparams.hpp"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <utility>

#include "daemon/model/gguf_names.hpp"
#include "daemon/model/hparams_limits.hpp"
#include "daemon/model/hparams_tensors.hpp"

namespace shoal::model {
namespace {

/// How the architectures differ; everything else is the same Llama-style decoder.
struct Architecture {
    std::string_view name;
    kernels::RopeKind rope_kind;
    bool needs_qkv_bias;
    bool qk_norm;
};

constexpr Architecture kArchitectures[] = {
    {"llama", kernels::RopeKind::interleaved, false, false},
    {"qwen2", kernels::RopeKind::half_split, true, false},
    {"qwen3", kernels::RopeKind::half_split, false, true},
};

/// A key that changes what the model computes unless it has its neutral value.
struct Refused {
    std::string_view key;  ///< after "<architecture>."
    double neutral;
    const char* what;
};

constexpr Refused kRefused[] = {
    {"expert_count", 0, "mixtures of experts"},
    {"attention.sliding_window", 0, "sliding-window attention"},
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

/// Reads the keys "<architecture>.<...>" of one header within bounds.
class Keys {
  public:
    Keys(const GgufHeader& header, std::string_view architecture)
        : header_(header), prefix_(fmt::format("{}.", architecture)) {}

    std::string full(std::string_view key) const { return prefix_ + std::string{key}; }
    bool has(std::string_view key) const { return header_.find(full(key)) != nullptr; }

    [[noreturn]] void fail(std::string_view key, std::string_view what) const {
        throw ModelError(fmt::format("{}: key {} {}", header_.name(), quote(full(key)), what));
    }

    std::uint32_t count(std::string_view key, std::uint32_t limit) const {
        if (header_.find(full(key)) != nullptr &&
            std::holds_alternative<MetaArray>(*header_.find(full(key)))) {
            fail(key, "is an array: values that differ from layer to layer are not supported");
        }
        const std::uint64_t value = header_.get_uint(full(key));
        if (value == 0 || value > limit) {
            fail(key, fmt::format("is {}, expected 1 to {}", value, limit));
        }
        return static_cast<std::uint32_t>(value);
    }

    std::uint32_t count_or(std::string_view key, std::uint32_t limit,
                           std::uint32_t fallback) const {
        return has(key) ? count(key, limit) : fallback;
    }

    /// A float above 0 and up to a limit.
    double positive(std::string_view key, double limit) const {
        const double value = header_.get_float(full(key));
        // Compared as a float, because it is used as one; written so that NaN fails.
        if (!(static_cast<float>(value) > 0 && value <= limit)) {
            fail(key, fmt::format("is {}, expected more than 0 and at most {}", value, limit));
        }
        return value;
    }

    double positive_or(std::string_view key, double limit, double fallback) const {
        return has(key) ? positive(key, limit) : fallback;
    }

    std::string_view text_or(std::string_view key, std::string_view fallback) const {
        return header_.get_string_or(full(key), fallback);
    }

    /// True when the key is there with anything but this number (or truth value).
    bool differs_from(std::string_view key, double neutral) const {
        const MetaValue* value = header_.find(full(key));
        if (value == nullptr) return false;
        return std::visit(
            [neutral](const auto& v) {
                if constexpr (std::is_arithmetic_v<std::decay_t<decltype(v)>>) {
                    return static_cast<double>(v) != neutral;
                } else {
                    return true;
                }
            },
            *value);
    }

    void refuse(const Refused& refused) const {
        if (!differs_from(refused.key, refused.neutral)) return;
        fail(refused.key, fmt::format("asks for {}: not supported", refused.what));
    }

  private:
    const GgufHeader& header_;
    std::string prefix_;
};

const Architecture& architecture_of(const GgufHeader& header) {
    const std::string_view type = header.get_string_or("general.type", "model");
    if (type != "model") {
        throw ModelError(
            fmt::format("{}: key 'general.type' is {}: the file is not a model by "
                        "itself",
                        header.name(), quote(type)));
    }
    // The parts of a split file are headers of their own; only together are they a model.
    if (const std::uint64_t parts = header.get_uint_or("split.count", 0); parts > 1) {
        throw ModelError(
            fmt::format("{}: key 'split.count' is {}: the file is one of several "
                        "parts; merge them into one file first",
                        header.name(), parts));
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

void read_rope_scaling(const Keys& keys, Hparams& h) {
    const std::string_view type = keys.text_or("rope.scaling.type", "linear");
    if (type == "none") return;
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

Hparams read_hparams(const GgufHeader& header, std::span<const std::byte> rope_freqs_data) {
    const Architecture& architecture = architecture_of(header);
    const Keys keys(header, architecture.name);
    for (const Refused& refused : kRefused) keys.refuse(refused);

    Hparams h;
    h.architecture = architecture.name;
    h.name = header.get_string_or("general.name", "");
    if (h.name.empty()) h.name = std::filesystem::path(header.name()).stem().string();
    h.n_layers = keys.count("block_count", limits::kMaxLayers);
    h.dim = keys.count("embedding_length", limits::kMaxWidth);
    h.n_ff = keys.count("feed_forward_length", limits::kMaxFfn);
    h.n_context = keys.count("context_length", limits::kMaxContext);
    h.norm_eps = static_cast<float>(keys.positive("attention.layer_norm_rms_epsilon", 1));
    read_heads(keys, h);
    h.rope_kind = architecture.rope_kind;
    read_rope(keys, h);
    read_rope_freqs(header, rope_freqs_data, h);

    read_tensor_facts(header, h);
    h.qkv_bias = h.qkv_bias || architecture.needs_qkv_bias;
    h.qk_norm = architecture.qk_norm;
    check_tensors(header, h);
    check_vocabulary(header, h);
    return h;
}

Hparams read_hparams(const GgufFile& file) {
    const TensorInfo* freqs = file.header().find_tensor(tensor_name::kRopeFreqs);
    return read_hparams(file.header(),
                        freqs == nullptr ? std::span<const std::byte>{} : file.data(*freqs));
}

}  // namespace shoal::model
