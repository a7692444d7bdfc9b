#include "daemon/model/hparams.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <limits>

#include "daemon/model/hparams_limits.hpp"
#include "tests/model/description.hpp"

namespace shoal::model::hparams_test {
namespace {

std::string range(const char* key, std::uint64_t value, std::uint64_t limit) {
    return fmt::format("key 'llama.{}' is {}, expected 1 to {}", key, value, limit);
}

}  // namespace

TEST_SUITE("hparams") {
    TEST_CASE("a llama is read") {
        const Hparams h = Description("llama").read();
        CHECK(h.architecture == "llama");
        CHECK(h.name == "sample");
        CHECK(h.n_layers == 2);
        CHECK(h.dim == 64);
        CHECK(h.n_heads == 4);
        CHECK(h.n_kv_heads == 2);
        CHECK(h.head_dim == 8);
        CHECK(h.n_ff == 96);
        CHECK(h.layer_ff == std::vector<std::uint32_t>{96, 96});
        CHECK(h.n_vocab == 100);
        CHECK(h.n_context == 128);
        CHECK(h.norm_eps == 1e-5F);
        CHECK(h.rope_kind == kernels::RopeKind::interleaved);
        CHECK(h.rope_dim == 8);
        CHECK(h.rope_base == 10000);
        CHECK(h.rope_scale == 1);
        CHECK(h.rope_freqs.empty());
        CHECK_FALSE(h.qkv_bias);
        CHECK_FALSE(h.qk_norm);
        CHECK_FALSE(h.tied_output);
    }

    TEST_CASE("a qwen2 has biases and rotates halves") {
        const Hparams h = Description("qwen2").read();
        CHECK(h.rope_kind == kernels::RopeKind::half_split);
        CHECK(h.qkv_bias);
        CHECK_FALSE(h.qk_norm);
    }

    TEST_CASE("a qwen3 has norms of q and k and rotates halves") {
        const Hparams h = Description("qwen3").read();
        CHECK(h.rope_kind == kernels::RopeKind::half_split);
        CHECK(h.qk_norm);
        CHECK_FALSE(h.qkv_bias);
    }

    TEST_CASE("a qwen3moe is a qwen3 with experts") {
        const Hparams h = Description("qwen3moe").read();
        CHECK(h.rope_kind == kernels::RopeKind::half_split);
        CHECK(h.qk_norm);
        CHECK(h.n_experts == 5);
        CHECK(h.n_experts_used == 2);
        CHECK(h.n_ff == 32);
    }

    TEST_CASE("experts must be what the keys say") {
        namespace lim = limits;
        const auto key = [](const char* name, const std::string& what) {
            return fmt::format("key 'qwen3moe.{}' {}", name, what);
        };
        check(
            {{erase("expert_count"), key("expert_count", "is missing")},
             {erase("expert_used_count"), key("expert_used_count", "is missing")},
             {erase("expert_feed_forward_length"), key("expert_feed_forward_length", "is missing")},
             {set("expert_count", 0U),
              key("expert_count", fmt::format("is 0, expected 1 to {}", lim::kMaxExperts))},
             {set("expert_count", lim::kMaxExperts + 1),
              key("expert_count",
                  fmt::format("is {}, expected 1 to {}", lim::kMaxExperts + 1, lim::kMaxExperts))},
             {set("expert_used_count", 6U),
              key("expert_used_count", "is 6, but there are 5 experts")},
             {[](Description& d) {
                  d.set("block_count", 65U);
                  d.set("expert_count", 1009U);
              },
              key("expert_count", fmt::format("makes 65585 experts in 65 layers, more than the "
                                              "limit of {}",
                                              lim::kMaxExpertsInAll))},
             {set("expert_shared_count", 1U),
              key("expert_shared_count", "asks for shared experts: not supported")},
             {set("expert_weights_norm", false),
              key("expert_weights_norm",
                  "asks for weights of experts that do not add up to 1: not supported")},
             {set("expert_gating_func", 2U),
              key("expert_gating_func",
                  "asks for experts chosen by another function than softmax: not supported")}},
            "qwen3moe");
    }

    TEST_CASE("what may be absent has its usual meaning") {
        Description d("llama");
        d.keys.erase("general.name");
        d.tensors.erase("output.weight");
        Hparams h = d.read();
        CHECK(h.name == "m");
        CHECK(h.tied_output);

        // Without a length of its own, heads share the width; without KV heads, each has its own.
        Description plain("llama");
        plain.erase("attention.key_length");
        plain.erase("attention.value_length");
        plain.erase("attention.head_count_kv");
        for (const std::string layer : {"blk.0.", "blk.1."}) {
            for (const char* part : {"attn_q.weight", "attn_k.weight", "attn_v.weight"}) {
                plain.tensors[layer + part] = {DType::q4_0, 64, 64};
            }
            plain.tensors[layer + "attn_output.weight"] = {DType::q4_0, 64, 64};
        }
        h = plain.read();
        CHECK(h.head_dim == 16);
        CHECK(h.n_kv_heads == 4);
    }

    TEST_CASE("how hidden states are pooled is read, whatever the number") {
        Description d("qwen3");
        CHECK(d.read().pooling_type == 0);
        d.set("pooling_type", 3U);
        CHECK(d.read().pooling_type == 3);
        d.set("pooling_type", std::uint64_t{1} << 40);
        CHECK(d.read().pooling_type == UINT32_MAX);
    }

    TEST_CASE("rope settings are read") {
        Description d("llama");
        d.set("rope.dimension_count", 6U);
        d.set("rope.freq_base", 500000.0F);
        Hparams h = d.read();
        CHECK(h.rope_dim == 6);
        CHECK(h.rope_base == 500000);

        d.set("rope.scale_linear", 2.0F);
        CHECK(d.read().rope_scale == 2);
        d.set("rope.scaling.factor", 4.0F);
        CHECK(d.read().rope_scale == 4);
        d.set("rope.scaling.type", std::string{"linear"});
        CHECK(d.read().rope_scale == 4);
        d.set("rope.scaling.type", std::string{"none"});
        CHECK(d.read().rope_scale == 1);
        d.erase("rope.scaling.type");
        d.set("rope.scaling.factor", 0.0F);
        CHECK(d.read().rope_scale == 1);
    }

    TEST_CASE("inverse frequencies follow base, scale and divisors") {
        Description d("llama");
        d.set("rope.freq_base", 16.0F);
        d.set("rope.scaling.factor", 2.0F);
        d.tensors["rope_freqs.weight"] = {DType::f32, 4, 1};
        d.rope_freqs = {1, 1, 4, 8};
        const std::vector<float> inverse = d.read().inverse_frequencies();
        // 16^(-2i/8) is 1, 1/2, 1/4, 1/8.
        REQUIRE(inverse.size() == 4);
        CHECK(inverse[0] == doctest::Approx(0.5));
        CHECK(inverse[1] == doctest::Approx(0.25));
        CHECK(inverse[2] == doctest::Approx(0.03125));
        CHECK(inverse[3] == doctest::Approx(0.0078125));
    }

    TEST_CASE("every number has bounds") {
        namespace lim = limits;
        check({
            {set("block_count", 0U), range("block_count", 0, lim::kMaxLayers)},
            {set("block_count", lim::kMaxLayers + 1),
             range("block_count", lim::kMaxLayers + 1, lim::kMaxLayers)},
            {set("embedding_length", lim::kMaxWidth + 1),
             range("embedding_length", lim::kMaxWidth + 1, lim::kMaxWidth)},
            {set("feed_forward_length", lim::kMaxFfn + 1),
             range("feed_forward_length", lim::kMaxFfn + 1, lim::kMaxFfn)},
            {set("context_length", lim::kMaxContext + 1),
             range("context_length", lim::kMaxContext + 1, lim::kMaxContext)},
            {set("context_length", ~std::uint64_t{0}),
             range("context_length", ~std::uint64_t{0}, lim::kMaxContext)},
            {set("attention.head_count", lim::kMaxHeads + 1),
             range("attention.head_count", lim::kMaxHeads + 1, lim::kMaxHeads)},
            {set("attention.head_count_kv", 0U),
             range("attention.head_count_kv", 0, lim::kMaxHeads)},
            {set("attention.key_length", lim::kMaxHeadDim + 1),
             range("attention.key_length", lim::kMaxHeadDim + 1, lim::kMaxHeadDim)},
            {set("rope.dimension_count", lim::kMaxHeadDim + 1),
             range("rope.dimension_count", lim::kMaxHeadDim + 1, lim::kMaxHeadDim)},
            {set("attention.layer_norm_rms_epsilon", 0.0F),
             "key 'llama.attention.layer_norm_rms_epsilon' is 0, expected more than 0 and at most "
             "1"},
            {set("attention.layer_norm_rms_epsilon", 1e-300),
             "key 'llama.attention.layer_norm_rms_epsilon' is 1e-300, expected more than 0 and at "
             "most 1"},
            {set("attention.layer_norm_rms_epsilon", std::numeric_limits<float>::quiet_NaN()),
             "key 'llama.attention.layer_norm_rms_epsilon' is nan, expected more than 0 and at "
             "most 1"},
            {set("rope.freq_base", -1.0F),
             "key 'llama.rope.freq_base' is -1, expected more than 0 and at most 1000000000000000"},
            {set("rope.freq_base", std::numeric_limits<float>::infinity()),
             "key 'llama.rope.freq_base' is inf, expected more than 0 and at most "
             "1000000000000000"},
            {set("rope.scaling.factor", -2.0F),
             "key 'llama.rope.scaling.factor' is -2, expected more than 0 and at most 1000000"},
        });
        Description heads("llama");
        heads.set("attention.head_count", lim::kMaxHeads);
        heads.set("attention.key_length", lim::kMaxHeadDim);
        heads.set("attention.value_length", lim::kMaxHeadDim);
        CHECK(heads.error() ==
              fmt::format("dir/m.gguf: key 'llama.attention.head_count' makes {} heads of {} "
                          "elements, more than the limit of {} in all",
                          lim::kMaxHeads, lim::kMaxHeadDim, lim::kMaxWidth));
    }

    TEST_CASE("numbers that contradict each other are refused") {
        check({
            {set("attention.head_count_kv", 3U),
             "key 'llama.attention.head_count_kv' is 3, which does not divide the 4 query heads"},
            {set("attention.head_count_kv", 8U),
             "key 'llama.attention.head_count_kv' is 8, which does not divide the 4 query heads"},
            {[](Description& d) {
                 d.erase("attention.key_length");
                 d.set("attention.head_count", 6U);
             },
             "key 'llama.attention.head_count' is 6, which does not divide the width 64, and "
             "attention.key_length is missing"},
            {set("attention.value_length", 16U),
             "key 'llama.attention.value_length' is 16, but keys have 8 elements: heads with "
             "unlike "
             "keys and values are not supported"},
            {set("rope.dimension_count", 5U),
             "key 'llama.rope.dimension_count' is 5, expected an even number up to the 8 elements "
             "of a head"},
            {set("rope.dimension_count", 10U),
             "key 'llama.rope.dimension_count' is 10, expected an even number up to the 8 elements "
             "of a head"},
        });
    }

    TEST_CASE("missing keys are named") {
        for (const char* key :
             {"block_count", "context_length", "embedding_length", "feed_forward_length",
              "attention.head_count", "attention.layer_norm_rms_epsilon"}) {
            check({{erase(key), fmt::format("key 'llama.{}' is missing", key)}});
        }
        Description d("llama");
        d.keys.erase("general.architecture");
        CHECK(d.error() == "dir/m.gguf: key 'general.architecture' is missing");
    }

    TEST_CASE("what is not computed here is refused by name") {
        check({
            {set("expert_count", 8U),
             "key 'llama.expert_count' asks for mixtures of experts: not supported"},
            {set("attention.sliding_window", 15U),
             "key 'llama.attention.sliding_window' asks for sliding-window attention: not "
             "supported"},
            {set("attention.causal", false),
             "key 'llama.attention.causal' asks for attention that is not causal: not supported"},
            {set("logit_scale", 0.5F),
             "key 'llama.logit_scale' asks for scaled logits: not supported"},
            {[](Description& d) {
                 d.set("rope.scaling.type", std::string{"yarn"});
                 d.set("rope.scaling.factor", 2.0F);
             },
             "key 'llama.rope.scaling.type' is 'yarn': only 'none' and 'linear' are supported"},
            {set("rope.scaling.type", std::string{"longrope"}),
             "key 'llama.rope.scaling.type' is 'longrope': only 'none' and 'linear' are supported"},
            {set("attention.head_count_kv", std::vector<std::uint32_t>{2, 4}),
             "key 'llama.attention.head_count_kv' is an array: values that differ from layer to "
             "layer are not supported"},
        });
        // Where nothing is another than without them.
        Description harmless("llama");
        const Hparams plain = harmless.read();
        harmless.set("attention.head_count",
                     std::vector<std::uint32_t>{plain.n_heads, plain.n_heads});
        harmless.set("attention.head_count_kv",
                     std::vector<std::int32_t>(2, static_cast<std::int32_t>(plain.n_kv_heads)));
        harmless.set("attention.sliding_window", plain.n_context);
        harmless.set("rope.scaling.type", std::string{"yarn"});
        harmless.set("rope.scaling.factor", 1.0F);
        const Hparams h = harmless.read();
        CHECK(h.n_heads == plain.n_heads);
        CHECK(h.n_kv_heads == plain.n_kv_heads);
        CHECK(h.inverse_frequencies() == plain.inverse_frequencies());
        harmless.set("rope.scaling.yarn_attn_factor", 2.0F);
        CHECK(harmless.error().find("yarn") != std::string::npos);

        Description d("llama");
        d.set("expert_count", 0U);
        d.set("attention.sliding_window", 0U);
        d.set("attention.causal", true);
        d.set("logit_scale", 1.0F);
        CHECK(d.error().empty());
    }

    TEST_CASE("files that are no model by themselves are refused") {
        Description d("llama");
        d.keys["general.type"] = std::string{"adapter"};
        CHECK(d.error() ==
              "dir/m.gguf: key 'general.type' is 'adapter': the file is not a model "
              "by itself");
        d = Description("llama");
        d.keys["general.architecture"] = std::string{"mamba"};
        CHECK(d.error() ==
              "dir/m.gguf: key 'general.architecture' is 'mamba'; supported are llama, "
              "qwen2, qwen3, qwen3moe");
        d = Description("llama");
        d.tensors.clear();
        CHECK(d.error() ==
              "dir/m.gguf: tensor 'token_embd.weight' is missing: the file holds a "
              "vocabulary and no weights");
    }
}

}  // namespace shoal::model::hparams_test
