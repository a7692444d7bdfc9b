// model-bench: how fast one device runs a model, in process. Prints tokens per second and its
// parts; benchmarks compare it with other engines on the same file.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "daemon/device_facts.hpp"
#include "daemon/exec/cpu_topology.hpp"
#include "daemon/exec/executor.hpp"
#include "daemon/exec/runner.hpp"
#include "daemon/model/gguf.hpp"
#include "daemon/model/hparams.hpp"
#include "daemon/shard/cutter.hpp"

namespace {

using namespace shoal;
using Clock = std::chrono::steady_clock;

struct Options {
    std::string model;
    std::uint32_t threads = exec::thread_count(exec::read_topology(), 0);
    std::uint32_t prompt = 512;
    std::uint32_t generate = 64;
    std::uint32_t depth = 0;
    std::uint32_t sequences = 1;
    std::uint32_t batch = 256;
    std::uint32_t repeats = 1;
    std::string cpu = "auto";
    std::string kv = "f16";
    bool json = false;
};

struct Sample {
    double prefill_seconds = 0;
    double decode_seconds = 0;
};

double seconds(Clock::duration d) {
    return std::chrono::duration<double>(d).count();
}

double rate(double count, double time) {
    return count == 0 || time <= 0 ? 0 : count / time;
}

// Steps until every sequence has its prompt computed and is `length` tokens long.
void step_until(exec::Root& root, std::vector<exec::Sequence>& sequences, std::size_t length) {
    std::vector<exec::Chosen> chosen;
    for (;;) {
        std::vector<exec::Sequence*> running;
        for (exec::Sequence& s : sequences) {
            if (s.tokens.size() < length) running.push_back(&s);
        }
        if (running.empty()) return;
        if (root.step(running, chosen) != exec::Status::ok) {
            throw std::runtime_error("a step failed");
        }
        for (const exec::Chosen& c : chosen) running[c.sequence]->tokens.push_back(c.token);
    }
}

// Random K and V in every block, so that positions below the depth need not be computed. Speed does
// not depend on the values as long as they are ordinary numbers; the text means nothing.
void fill_blocks(const exec::Executor& executor) {
    const exec::KvCache& cache = executor.cache();
    const exec::KvShape& shape = cache.shape();
    std::vector<float> x(std::size_t{exec::KvCache::kBlockPositions} * shape.head_dim);
    std::minstd_rand random(1);
    std::uniform_real_distribution<float> value(-1, 1);
    for (float& v : x) v = value(random);
    const std::uint32_t count = exec::KvCache::kBlockPositions;
    cache.store_k(kernels::reference(), 0, 0, 0, 0, count, x.data(), shape.head_dim);
    cache.store_v(kernels::reference(), 0, 0, 0, 0, count, x.data(), shape.head_dim);
    const std::vector<std::byte> k(cache.k(0, 0, 0), cache.k(0, 0, 0) + cache.head_bytes());
    const std::vector<std::byte> v(cache.v(0, 0, 0), cache.v(0, 0, 0) + cache.head_bytes());
    for (std::uint32_t b = 0; b < cache.capacity_blocks(); ++b) {
        for (std::uint32_t l = 0; l < shape.layers; ++l) {
            for (std::uint32_t h = 0; h < shape.kv_heads; ++h) {
                std::copy(k.begin(), k.end(), cache.k(b, l, h));
                std::copy(v.begin(), v.end(), cache.v(b, l, h));
            }
        }
    }
}

Sample run_once(exec::Executor& executor, const model::WeightSource& source, const Options& o) {
    exec::SoloCollective alone;
    exec::Root root(executor, alone, source);
    const std::uint32_t vocab = executor.hparams().n_vocab;
    std::vector<exec::Sequence> sequences(o.sequences);
    for (std::uint32_t i = 0; i < o.sequences; ++i) {
        sequences[i].id = i + 1;
        // Without a prompt, decoding begins after one token.
        for (std::uint32_t k = 0; k < o.depth + std::max(1U, o.prompt); ++k) {
            sequences[i].tokens.push_back(static_cast<std::int32_t>((k * 7919U + i + 1) % vocab));
        }
        sequences[i].computed = o.depth;
    }
    Sample sample;
    const std::size_t prompt = sequences[0].tokens.size();
    const auto begin = Clock::now();
    step_until(root, sequences, prompt + 1);
    const auto prefilled = Clock::now();
    // The first token came with the prompt; `generate` more are timed.
    step_until(root, sequences, prompt + 1 + o.generate);
    sample.prefill_seconds = seconds(prefilled - begin);
    sample.decode_seconds = seconds(Clock::now() - prefilled);
    executor.clear();
    return sample;
}

template <typename Get>
double median(const std::vector<Sample>& samples, Get get) {
    std::vector<double> values;
    for (const Sample& s : samples) values.push_back(get(s));
    std::sort(values.begin(), values.end());
    return (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2;
}

kernels::KvType kv_type(const std::string& name, std::uint32_t head_dim) {
    for (const auto type : {kernels::KvType::f32, kernels::KvType::f16, kernels::KvType::q8_0}) {
        if (name != kernels::name(type)) continue;
        if (!kernels::kv_head_dim_fits(type, head_dim)) {
            throw std::runtime_error("a " + name + " KV cache needs heads of a multiple of " +
                                     std::to_string(kernels::kKvScaleElements) + " elements");
        }
        return type;
    }
    throw std::runtime_error("unknown KV type " + name);
}

int bench(const Options& o) {
    const kernels::Table& kernels = choose_kernels(o.cpu);
    const auto begin = Clock::now();
    const model::GgufFile file(o.model);
    const model::Hparams hp = model::read_hparams(file);
    const model::FileSource source(file);
    const auto plan = shard::cut_evenly(file.header(), hp, 1);
    exec::ThreadPool pool(o.threads);
    const auto weights = exec::SliceWeights::load(source, hp, plan[0], kernels, pool,
                                                  [](std::uint64_t, std::uint64_t) {});
    exec::ExecutorOptions options;
    options.kv_type = kv_type(o.kv, hp.head_dim);
    options.max_rows = std::max(o.batch, o.sequences);
    options.max_outputs = o.sequences;
    const std::uint64_t length = std::uint64_t{o.depth} + o.prompt + o.generate + 2;
    const std::uint64_t blocks = length / exec::KvCache::kBlockPositions + 1;
    options.kv_positions = blocks * exec::KvCache::kBlockPositions * o.sequences;
    exec::Executor executor(hp, plan[0], weights, kernels, pool, options);
    const double load_seconds = seconds(Clock::now() - begin);

    if (o.depth != 0) fill_blocks(executor);
    std::vector<Sample> samples;
    for (std::uint32_t i = 0; i < o.repeats; ++i) samples.push_back(run_once(executor, source, o));
    const double prefill = median(samples, [](const Sample& s) { return s.prefill_seconds; });
    const double decode = median(samples, [](const Sample& s) { return s.decode_seconds; });
    const double prompt_tokens = static_cast<double>(o.prompt) * o.sequences;
    const double generated_tokens = static_cast<double>(o.generate) * o.sequences;
    const double timed = (o.prompt == 0 ? 0 : prefill) + decode;

    nlohmann::ordered_json out;
    out["model"] = o.model;
    out["cpu"] = kernels.name;
    out["threads"] = o.threads;
    out["sequences"] = o.sequences;
    out["kv"] = o.kv;
    out["depth"] = o.depth;
    out["prompt_tokens"] = o.prompt;
    out["generated_tokens"] = o.generate;
    out["tokens_per_second"] = rate(prompt_tokens + generated_tokens, timed);
    out["prefill_tokens_per_second"] = rate(prompt_tokens, prefill);
    out["decode_tokens_per_second"] = rate(generated_tokens, decode);
    out["prefill_seconds"] = prefill;
    out["decode_seconds"] = decode;
    out["load_seconds"] = load_seconds;
    out["weight_bytes"] = weights.bytes();
    out["kv_bytes"] = executor.cache().bytes();
    if (o.json) {
        fmt::print("{}\n", out.dump());
        return 0;
    }
    for (const auto& [key, value] : out.items()) fmt::print("{:28} {}\n", key, value.dump());
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("How fast one device runs a model, in process.");
    Options o;
    app.add_option("-m,--model", o.model, "a GGUF file")->required();
    app.add_option("-t,--threads", o.threads, "compute threads")->check(CLI::Range(1, 1024));
    app.add_option("-p,--prompt", o.prompt, "tokens of the prompt; 0: time decoding only");
    app.add_option("-n,--generate", o.generate, "tokens to generate; 0: time the prompt only");
    app.add_option("-d,--depth", o.depth,
                   "positions that lie in the KV cache before the prompt, with random contents");
    app.add_option("-s,--sequences", o.sequences, "sequences that run together")
        ->check(CLI::Range(1, 512));
    app.add_option("-b,--batch", o.batch, "rows of a step")->check(CLI::Range(1, 4096));
    app.add_option("-r,--repeats", o.repeats, "runs; medians are printed")
        ->check(CLI::Range(1, 1000));
    app.add_option("--cpu", o.cpu, "an instruction set as shoald --cpu lists them, or auto");
    app.add_option("--kv", o.kv, "KV cache: f16, f32 or q8_0")
        ->check(CLI::IsMember({"f16", "f32", "q8_0"}));
    app.add_flag("--json", o.json, "one line of JSON");
    CLI11_PARSE(app, argc, argv);
    try {
        return bench(o);
    } catch (const std::exception& e) {
        fmt::print(stderr, "model-bench: {}\n", e.what());
        return 1;
    }
}
