#include "daemon/model/tensors.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <limits>

#include "daemon/model/hparams_limits.hpp"
#include "tests/model/description.hpp"

namespace shoal::model::tensors_test {

TEST_SUITE("a model's tensors") {
    TEST_CASE("a llama may have biases of q, k and v") {
        Description d("llama");
        d.add_bias("blk.0.");
        d.add_bias("blk.1.");
        CHECK(d.read().qkv_bias);
    }

    TEST_CASE("layers may have feed-forward networks of their own width") {
        Description d("llama");
        d.set("feed_forward_length", std::vector<std::uint32_t>{96, 160});
        CHECK(d.error() ==
              "dir/m.gguf: tensor 'blk.1.ffn_gate.weight' is 96 x 64 (rows x columns), expected "
              "160 x 64");
        d.tensors["blk.1.ffn_gate.weight"] =
            d.tensors["blk.1.ffn_up.weight"] = {DType::q4_0, 64, 160};
        d.tensors["blk.1.ffn_down.weight"] = {DType::q4_0, 160, 64};
        const Hparams h = d.read();
        CHECK(h.n_ff == 160);
        CHECK(h.layer_ff == std::vector<std::uint32_t>{96, 160});

        const auto key = [](const char* what) {
            return std::string("key 'llama.feed_forward_length' ") + what;
        };
        using Signed = std::vector<std::int32_t>;
        check({
            {set("feed_forward_length", Signed{96, 96, 96}),
             key("has 3 items, expected one for each of 2 layers")},
            {set("feed_forward_length", Signed{}),
             key("has 0 items, expected one for each of 2 layers")},
            {set("feed_forward_length", Signed{96, 0}),
             key("is 0 for layer 1, expected 1 to 1048576")},
            {set("feed_forward_length", Signed{1048577, 96}),
             key("is 1048577 for layer 0, expected 1 to 1048576")},
            {set("feed_forward_length", Signed{96, -96}), key("is not an array of counts")},
            {set("feed_forward_length", std::vector<float>{96, 96}),
             key("is not an array of counts")},
        });
    }

    TEST_CASE("rope_freqs must be what the rotation needs") {
        const auto with = [](Description::Tensor t, std::vector<float> data) {
            return [=](Description& d) {
                d.tensors["rope_freqs.weight"] = t;
                d.rope_freqs = data;
            };
        };
        const float nan = std::numeric_limits<float>::quiet_NaN();
        check({
            {with({DType::f32, 3, 1}, {1, 1, 1}),
             "tensor 'rope_freqs.weight' is 1 x 3 of F32, expected 1 x 4 of F32"},
            {with({DType::f16, 4, 1}, {1, 1}),
             "tensor 'rope_freqs.weight' is 1 x 4 of F16, expected 1 x 4 of F32"},
            {with({DType::f32, 4, 1}, {}),
             "tensor 'rope_freqs.weight' has 0 bytes of data here, expected 16"},
            {with({DType::f32, 4, 1}, {1, 1, 0, 1}),
             "tensor 'rope_freqs.weight' has 0 as element 2, expected a positive number"},
            {with({DType::f32, 4, 1}, {nan, 1, 1, 1}),
             "tensor 'rope_freqs.weight' has nan as element 0, expected a positive number"},
        });
    }

    TEST_CASE("a vocabulary has bounds and covers the tokenizer's tokens") {
        Description d("llama");
        d.tensors["token_embd.weight"].rows = limits::kMaxVocabulary + 1;
        CHECK(d.error() == fmt::format("dir/m.gguf: tensor 'token_embd.weight' has {} rows, more "
                                       "than the limit of {}",
                                       limits::kMaxVocabulary + 1, limits::kMaxVocabulary));
        d = Description("llama");
        d.keys["tokenizer.ggml.tokens"] = std::vector<std::string>(100, "x");
        CHECK(d.error().empty());
        d.keys["tokenizer.ggml.tokens"] = std::vector<std::string>(101, "x");
        CHECK(d.error() ==
              "dir/m.gguf: key 'tokenizer.ggml.tokens' has 101 tokens, but tensor "
              "'token_embd.weight' has only 100 rows");
    }

    TEST_CASE("missing tensors are named") {
        const Description whole("qwen2");
        for (const auto& [name, unused] : whole.tensors) {
            if (name == "output.weight") continue;
            check({{no_tensor(name.c_str()), fmt::format("tensor '{}' is missing", name)}},
                  "qwen2");
        }
        check({{no_tensor("blk.1.attn_k_norm.weight"),
                "tensor 'blk.1.attn_k_norm.weight' is missing"}},
              "qwen3");
        // One bias asks for all of them.
        check({{tensor("blk.1.attn_v.bias", {DType::f32, 16, 1}),
                "tensor 'blk.0.attn_q.bias' is missing"}});
    }

    TEST_CASE("every tensor's shape is checked") {
        const Description whole("qwen2");
        for (const auto& [name, right] : whole.tensors) {
            Description d("qwen2");
            // The embedding's rows are the vocabulary, so it is its columns that can be wrong.
            const bool embedding = name == "token_embd.weight";
            Description::Tensor& wrong = d.tensors[name];
            (embedding || right.rows == 1 ? wrong.cols : wrong.rows) *= 2;
            CHECK(d.error() ==
                  fmt::format("dir/m.gguf: tensor '{}' is {} x {} (rows x columns), expected {} x "
                              "{}",
                              name, wrong.rows, wrong.cols, right.rows, right.cols));
        }
        check({{tensor("blk.1.attn_q_norm.weight", {DType::f32, 32, 1}),
                "tensor 'blk.1.attn_q_norm.weight' is 1 x 32 (rows x columns), expected 1 x 8"}},
              "qwen3");
    }

    TEST_CASE("a tensor with more matrices than it should have is refused") {
        check({{tensor("blk.0.attn_q.weight", {DType::q4_0, 64, 32, 4}),
                "tensor 'blk.0.attn_q.weight' holds 4 matrices, expected 1"}});
    }

    TEST_CASE("experts are matrices of one tensor") {
        check({{tensor("blk.1.ffn_gate_exps.weight", {DType::q4_0, 64, 128, 4}),
                "tensor 'blk.1.ffn_gate_exps.weight' holds 4 matrices, expected 5"},
               {tensor("blk.1.ffn_down_exps.weight", {DType::q4_0, 32, 320}),
                "tensor 'blk.1.ffn_down_exps.weight' holds 1 matrices, expected 5"},
               {tensor("blk.0.ffn_up_exps.weight", {DType::q4_0, 64, 320, 5}),
                "tensor 'blk.0.ffn_up_exps.weight' is 64 x 64 (rows x columns), expected 32 x 64"},
               {tensor("blk.0.ffn_gate_inp.weight", {DType::q4_0, 64, 5}),
                "tensor 'blk.0.ffn_gate_inp.weight' is Q4_0, but norms, biases and routers must "
                "be F32, F16 or BF16"},
               {tensor("blk.0.ffn_gate.weight", {DType::q4_0, 64, 32}),
                not_part("blk.0.ffn_gate.weight", "qwen3moe")}},
              "qwen3moe");
    }

    TEST_CASE("norms and biases must be floats") {
        check({{tensor("output_norm.weight", {DType::q8_0, 64, 1}),
                "tensor 'output_norm.weight' is Q8_0, but norms, biases and routers must be F32, "
                "F16 or BF16"}});
        Description d("llama");
        d.tensors["output_norm.weight"].type = DType::bf16;
        CHECK(d.error().empty());
    }

    TEST_CASE("tensors that would change the function are refused, not ignored") {
        const auto extra = [](const char* name) { return tensor(name, {DType::f32, 64, 1}); };
        for (const char* name :
             {"blk.0.attn_output.bias", "blk.1.ffn_up.bias", "blk.0.ffn_gate_inp.weight",
              "blk.0.attn_q_norm.weight", "blk.2.attn_norm.weight", "output.bias",
              "rope_factors_long.weight", "blk.00.attn_norm.weight", "blk.x.attn_norm.weight"}) {
            check({{extra(name), not_part(name)}});
        }
        Description d("qwen3");
        d.tensors["blk.0.post_attention_norm.weight"] = {DType::f32, 64, 1};
        d.tensors["blk.1.post_attention_norm.weight"] = {DType::f32, 64, 1};
        CHECK(d.error() ==
              "dir/m.gguf: " + not_part("blk.0.post_attention_norm.weight", "qwen3", 2));
    }

    TEST_CASE("left-overs of old converters are harmless") {
        Description d("llama");
        d.tensors["blk.0.attn_rot_embd"] = {DType::f32, 4, 1};
        CHECK(d.error().empty());
    }
}

}  // namespace shoal::model::tensors_test
