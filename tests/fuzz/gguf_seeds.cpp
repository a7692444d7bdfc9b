// gguf-seeds FOLDER: a corpus of small model files, whole and damaged, for the fuzz targets that
// read them. The same files every time.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "daemon/model/gguf_writer.hpp"
#include "tests/model/gguf_bytes.hpp"

namespace {

using shoal::kernels::DType;
using shoal::model::GgufWriter;
using shoal::tests::GgufBytes;

/// A complete description of one narrow layer, with a vocabulary of a few tokens.
GgufWriter model(const std::string& architecture) {
    GgufWriter writer;
    writer.set("general.architecture", architecture);
    writer.set("general.name", std::string{"seed"});
    writer.set("general.file_type", std::uint32_t{0});
    const auto set = [&](const char* key, auto value) { writer.set(architecture + key, value); };
    set(".block_count", std::uint32_t{1});
    set(".context_length", std::uint32_t{16});
    set(".embedding_length", std::uint32_t{4});
    set(".feed_forward_length", std::uint32_t{6});
    set(".attention.head_count", std::uint32_t{2});
    set(".attention.head_count_kv", std::uint32_t{1});
    set(".attention.key_length", std::uint32_t{2});
    set(".attention.layer_norm_rms_epsilon", 1e-5F);
    set(".rope.freq_base", 10000.0F);
    set(".rope.scaling.type", std::string{"linear"});
    set(".rope.scaling.factor", 2.0F);
    writer.set("tokenizer.ggml.model", std::string{architecture == "llama" ? "llama" : "gpt2"});
    writer.set("tokenizer.ggml.pre", std::string{"qwen2"});
    writer.set("tokenizer.ggml.tokens", std::vector<std::string>{"<s>", "a", "b", "ab", "</s>"});
    writer.set("tokenizer.ggml.scores", std::vector<float>{0, -1, -2, -3, 0});
    writer.set("tokenizer.ggml.token_type", std::vector<std::int32_t>{3, 1, 1, 1, 3});
    writer.set("tokenizer.ggml.merges", std::vector<std::string>{"a b"});
    writer.set("tokenizer.ggml.bos_token_id", std::uint32_t{0});
    writer.set("tokenizer.ggml.eos_token_id", std::uint32_t{4});
    const auto add = [&](const char* name, std::uint64_t cols, std::uint64_t rows) {
        writer.add_tensor_f32(name, DType::f32, cols, rows, std::vector<float>(cols * rows, 1));
    };
    add("token_embd.weight", 4, 5);
    add("output_norm.weight", 4, 1);
    add("rope_freqs.weight", 1, 1);
    add("blk.0.attn_norm.weight", 4, 1);
    add("blk.0.attn_q.weight", 4, 4);
    add("blk.0.attn_k.weight", 4, 2);
    add("blk.0.attn_v.weight", 4, 2);
    if (architecture == "qwen2") {
        add("blk.0.attn_q.bias", 4, 1);
        add("blk.0.attn_k.bias", 2, 1);
        add("blk.0.attn_v.bias", 2, 1);
    }
    if (architecture == "qwen3") {
        add("blk.0.attn_q_norm.weight", 2, 1);
        add("blk.0.attn_k_norm.weight", 2, 1);
    }
    add("blk.0.attn_output.weight", 4, 4);
    add("blk.0.ffn_norm.weight", 4, 1);
    add("blk.0.ffn_gate.weight", 4, 6);
    add("blk.0.ffn_up.weight", 4, 6);
    add("blk.0.ffn_down.weight", 6, 4);
    return writer;
}

void write(const std::filesystem::path& path, const std::string& bytes) {
    std::ofstream out(path, std::ios::binary);
    out << bytes;
    if (!out.flush()) throw std::runtime_error("cannot write " + path.string());
}

/// The file, cut at some places and with a few bytes changed at others.
void write_with_damage(const std::filesystem::path& folder, const std::string& name,
                       const std::string& bytes) {
    constexpr int kDamaged = 40;
    write(folder / (name + ".gguf"), bytes);
    std::mt19937 random(1);
    for (int i = 0; i < kDamaged; ++i) {
        std::string damaged = bytes.substr(0, i % 4 == 0 ? random() % bytes.size() : bytes.size());
        for (unsigned n = random() % 4; n > 0 && !damaged.empty(); --n) {
            damaged[random() % damaged.size()] = static_cast<char>(random());
        }
        write(folder / (name + "-" + std::to_string(i) + ".gguf"), damaged);
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: gguf-seeds FOLDER\n");
        return 2;
    }
    try {
        const std::filesystem::path folder = argv[1];
        std::filesystem::create_directories(folder);
        for (const char* architecture : {"llama", "qwen2", "qwen3"}) {
            write_with_damage(folder, architecture, GgufBytes(model(architecture)).bytes());
        }
        write_with_damage(folder, "values", GgufBytes(shoal::tests::sample_writer()).bytes());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "gguf-seeds: %s\n", error.what());
        return 1;
    }
    return 0;
}
