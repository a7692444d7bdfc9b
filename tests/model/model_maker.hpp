// Models made from a shape and a seed: real files with random weights, for tests and benchmarks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/model/gguf.hpp"
#include "kernels/types.hpp"

namespace shoal::tests {

/// What to make. The defaults are the tiny shape: every weight type fits it, and a token takes
/// about two million multiplications.
struct ModelShape {
    std::string architecture = "llama";  ///< "llama", "qwen2", "qwen3" or "qwen3moe"
    /// The weights' type: the name of a DType, or a mixture ("q2_k_mixed", "q2_k_s", "q3_k_s",
    /// "q3_k_m", "q3_k_l", "q4_k_m", "q5_k_m", "iq4_nl_mixed", "iq4_xs_mixed"). Norms and biases
    /// are always f32. Rows that a type's blocks do not fit get the next type that fits.
    std::string type = "f32";
    std::uint32_t n_layers = 2;
    std::uint32_t dim = 256;
    std::uint32_t n_heads = 8;
    std::uint32_t n_kv_heads = 4;
    std::uint32_t head_dim = 32;
    std::uint32_t n_ff = 768;
    std::vector<std::uint32_t> layer_ff;  ///< of each layer, instead of n_ff
    std::uint32_t n_experts = 0;          ///< of each layer, n_ff wide each; 0: one FFN
    std::uint32_t n_experts_used = 2;     ///< that compute a row
    std::uint32_t n_vocab = 640;          ///< at least kMinVocabulary
    std::uint32_t n_context = 512;
    float rope_base = 10000;
    float norm_eps = 1e-5F;
    bool tied = false;          ///< no output.weight
    bool qkv_bias = false;      ///< qwen2 has biases anyway
    float rope_scale = 1;       ///< linear scaling of positions, unless it is 1
    bool rope_freqs = false;    ///< a rope_freqs.weight as Llama 3.1 has it
    std::string chat_template;  ///< instead of the vocabulary's own, unless it is empty
    std::uint64_t seed = 1;
    unsigned threads = 1;
};

/// "tiny", "small" (1024 wide, 12 layers, 200 M weights), "1b", "3b", "8b" (the Llama 3 shapes);
/// the seed and the threads are left to the caller. Throws ModelError on another name.
ModelShape named_shape(std::string_view name);

/// Write the model. The same shape and seed give the same bytes, whatever the thread count.
/// Weights are uniform noise scaled so that activations keep their size from layer to layer and
/// logits differ by about 1. Throws ModelError on a shape that no reader would accept, an unknown
/// type, or a file that cannot be written.
void make_model(const ModelShape& shape, const std::filesystem::path& path);

/// Write the model of another file with its matrices in another type and all its metadata. Other
/// tensors become f32. Throws ModelError.
void requantise(const std::filesystem::path& from, std::string_view type,
                const std::filesystem::path& to, unsigned threads);

/// Throws ModelError when `type` is not one of ModelShape::type.
void check_weight_type(std::string_view type);
/// What mixtures look at beside a tensor's name.
struct ModelTraits {
    std::uint32_t n_layers;
    std::uint32_t group;  ///< query heads of a KV head
    bool tied;            ///< the embedding is the LM head too
};

/// The type that a weight gets. Requires: check_weight_type(type).
kernels::DType weight_type(std::string_view type, std::string_view tensor, std::uint64_t cols,
                           const ModelTraits& traits);
/// The number of general.file_type. Requires: check_weight_type(type).
std::uint32_t file_type(std::string_view type);
/// The names that check_weight_type accepts, for messages.
std::string weight_type_names();

}  // namespace shoal::tests
