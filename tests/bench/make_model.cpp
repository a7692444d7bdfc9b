// make-model: writes synthetic models of real or tiny shape, or another model in other weights.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "daemon/model/gguf.hpp"
#include "tests/model/model_maker.hpp"
#include "tests/model/model_split.hpp"

namespace {

using shoal::tests::ModelShape;

/// What the command line sets on top of the named shape.
struct Options {
    std::string shape = "tiny";
    std::string type = "q4_0";
    std::optional<std::string> arch;
    std::optional<std::uint32_t> heads, kv_heads, head_dim, layers, dim, ff, experts, experts_used,
        vocab, context;
    std::optional<bool> tied, bias, rope_freqs;
    std::string chat_template;  // a file
    std::uint64_t seed = 1;
    unsigned threads = std::max(1U, std::thread::hardware_concurrency());
    std::string from;
    std::string out;
    std::uint32_t parts = 1;
};

template <class T, class U>
void apply(const std::optional<T>& option, U& value) {
    if (option) value = *option;
}

/// Throws std::runtime_error when the file cannot be read.
std::string text_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(file), {}};
    if (!file) throw std::runtime_error("cannot read " + path);
    return text;
}

ModelShape shape_of(const Options& options) {
    ModelShape shape = shoal::tests::named_shape(options.shape);
    shape.type = options.type;
    shape.seed = options.seed;
    shape.threads = options.threads;
    apply(options.arch, shape.architecture);
    apply(options.heads, shape.n_heads);
    apply(options.kv_heads, shape.n_kv_heads);
    apply(options.head_dim, shape.head_dim);
    apply(options.layers, shape.n_layers);
    apply(options.dim, shape.dim);
    apply(options.ff, shape.n_ff);
    apply(options.experts, shape.n_experts);
    apply(options.experts_used, shape.n_experts_used);
    apply(options.vocab, shape.n_vocab);
    apply(options.context, shape.n_context);
    apply(options.tied, shape.tied);
    apply(options.bias, shape.qkv_bias);
    apply(options.rope_freqs, shape.rope_freqs);
    if (!options.chat_template.empty()) shape.chat_template = text_of(options.chat_template);
    return shape;
}

void run(const Options& options) {
    const auto begin = std::chrono::steady_clock::now();
    if (options.from.empty()) {
        shoal::tests::make_model(shape_of(options), options.out);
    } else {
        shoal::tests::requantise(options.from, options.type, options.out, options.threads);
    }
    std::filesystem::path out = options.out;
    if (options.parts > 1) {
        const auto parts =
            shoal::tests::split_model(options.out, out.has_parent_path() ? out.parent_path() : ".",
                                      out.stem().string(), options.parts);
        std::filesystem::remove(options.out);
        out = parts[0];
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    const shoal::model::GgufFile file(out);
    std::printf("%s: %s, %.1f M parameters, %.1f MB, %.1f s\n", out.c_str(),
                shoal::model::quantisation_name(file.header()).c_str(),
                static_cast<double>(shoal::model::parameter_count(file.header())) / 1e6,
                static_cast<double>(file.bytes()) / 1e6, seconds.count());
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app{
        "Write a model with random weights, for tests and benchmarks: its speed is that of a real "
        "model of the same shape, its text means nothing. Or write another file's model with its "
        "weights in another type."};
    const auto yes_or_no = [&app](const char* yes, const char* no, std::optional<bool>& value,
                                  const char* what) {
        app.add_flag_callback(
            yes, [&value] { value = true; }, what);
        app.add_flag_callback(
            no, [&value] { value = false; }, "the opposite");
    };
    app.add_option("--shape", options.shape, "tiny, small, 1b, 3b or 8b")->capture_default_str();
    app.add_option("--type", options.type, "weights: " + shoal::tests::weight_type_names())
        ->capture_default_str();
    app.add_option("--arch", options.arch, "llama, qwen2, qwen3 or qwen3moe")
        ->check(CLI::IsMember({"llama", "qwen2", "qwen3", "qwen3moe"}));
    app.add_option("--heads", options.heads, "query heads");
    app.add_option("--kv-heads", options.kv_heads, "KV heads");
    app.add_option("--head-dim", options.head_dim, "elements of a head");
    app.add_option("--layers", options.layers, "layers");
    app.add_option("--dim", options.dim, "width of the residual stream");
    app.add_option("--ff", options.ff, "width of the feed-forward network, or of each expert");
    app.add_option("--experts", options.experts, "experts of a layer; 0: none");
    app.add_option("--experts-used", options.experts_used, "experts that compute a row");
    app.add_option("--vocab", options.vocab, "tokens");
    app.add_option("--context", options.context, "positions");
    yes_or_no("--tied", "--untied", options.tied, "whether the LM head is the embedding");
    yes_or_no("--bias", "--no-bias", options.bias, "biases of q, k and v");
    yes_or_no("--rope-freqs", "--no-rope-freqs", options.rope_freqs, "a rope_freqs tensor");
    app.add_option("--chat-template", options.chat_template, "a file with the chat template")
        ->check(CLI::ExistingFile);
    app.add_option("--seed", options.seed, "of the weights")->capture_default_str();
    app.add_option("--threads", options.threads, "that quantise")->capture_default_str();
    app.add_option("--from", options.from, "take the model of this file instead of making one")
        ->check(CLI::ExistingFile);
    app.add_option("--split", options.parts,
                   "write so many files, NAME-00001-of-0000N.gguf and so on")
        ->check(CLI::Range(1, 100));
    app.add_option("-o,--output", options.out, "the file to write")->required();
    CLI11_PARSE(app, argc, argv);
    try {
        run(options);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "make-model: %s\n", error.what());
        return 1;
    }
    return 0;
}
