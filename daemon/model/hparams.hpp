// What a model is, as data: the numbers that one forward pass reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/model/gguf.hpp"
#include "kernels/kernels.hpp"

namespace shoal::model {

class WeightSource;

/// The description of a Llama-style decoder. Every count is at least 1 and bounded (hparams.cpp).
struct Hparams {
    std::string architecture;  ///< "llama", "qwen2", "qwen3", "qwen3moe"
    std::string name;          ///< general.name, or the file's stem
    std::uint32_t n_layers = 0;
    std::uint32_t dim = 0;         ///< width of the residual stream
    std::uint32_t n_heads = 0;     ///< query heads
    std::uint32_t n_kv_heads = 0;  ///< divides n_heads
    std::uint32_t head_dim = 0;
    std::uint32_t n_ff = 0;               ///< of the widest layer, which is what slices cut
    std::vector<std::uint32_t> layer_ff;  ///< (n_layers) columns of each layer's FFN
    std::uint32_t n_experts = 0;          ///< of each layer, each with its own FFN; 0: one FFN
    std::uint32_t n_experts_used = 0;     ///< experts that compute a row, at most n_experts
    std::uint32_t n_vocab = 0;
    std::uint32_t n_context = 0;  ///< positions the model was trained for
    float norm_eps = 0;

    kernels::RopeKind rope_kind = kernels::RopeKind::interleaved;
    std::uint32_t rope_dim = 0;  ///< rotated elements of a head, even, at most head_dim
    float rope_base = 10000;
    float rope_scale = 1;  ///< positions are divided by this (linear scaling)
    /// Angle divisors from rope_freqs.weight (rope_dim / 2), empty when absent.
    std::vector<float> rope_freqs;

    /// The file's number for how hidden states become an embedding; 0: it says none.
    std::uint32_t pooling_type = 0;

    bool qkv_bias = false;     ///< attn_{q,k,v}.bias present
    bool qk_norm = false;      ///< attn_{q,k}_norm.weight present, per head
    bool tied_output = false;  ///< no output.weight: the LM head is the embedding

    std::uint32_t group() const noexcept { return n_heads / n_kv_heads; }
    std::uint32_t q_dim() const noexcept { return n_heads * head_dim; }
    std::uint32_t kv_dim() const noexcept { return n_kv_heads * head_dim; }
    /// Divisors of positions -> cos/sin tables: angle(pos, i) = pos * inv_freq[i].
    std::vector<float> inverse_frequencies() const;
};

/// What the metadata alone say: no vocabulary, no rope_freqs, and of the tensors that a model may
/// have none. Throws ModelError.
Hparams read_keys(const GgufHeader& header);

/// Read and check the description and that every tensor it needs is present with the right shape
/// and a known type. `rope_freqs_data` is the content of rope_freqs.weight when the file has it.
/// Throws ModelError.
Hparams read_hparams(const GgufHeader& header, std::span<const std::byte> rope_freqs_data);
/// The same, with that content read from where the tensors are.
Hparams read_hparams(const WeightSource& source);
Hparams read_hparams(const GgufFile& file);

/// The file's tensor names.
namespace tensor_name {
inline constexpr const char* kEmbedding = "token_embd.weight";
inline constexpr const char* kOutput = "output.weight";
inline constexpr const char* kOutputNorm = "output_norm.weight";
inline constexpr const char* kRopeFreqs = "rope_freqs.weight";
/// "blk.<layer>.<part>", part as in "attn_q.weight".
std::string layer(std::uint32_t layer, std::string_view part);
}  // namespace tensor_name

}  // namespace shoal::model
