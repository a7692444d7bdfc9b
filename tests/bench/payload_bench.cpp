// payload-bench: what the form of partial sums (models.collectives) does to texts. Several devices
// in one process, greedy texts of a real model; random weights would say nothing of margins.
//
//   alone    texts that N devices write as one device does
//   moved    texts of N devices that go on unchanged on N - 1 from a random token on, as they do
//            when a device is lost: what was written is computed again, in one prefill
//   error    rms of the logits' error along one device's texts, of the rms of the logits
//
// Each form as every plan of two devices has it, and "summed": plans of three and more code the sum
// once more, as they do for two hops (the bits are those of one hop).
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "tests/exec/local_cluster.hpp"

namespace {

using namespace shoal;
using exec::PayloadType;
using Ids = std::vector<std::int32_t>;

struct Options {
    std::vector<std::string> models;
    std::uint32_t texts = 40;
    std::uint32_t tokens = 100;
    std::uint32_t devices = 5;
};

constexpr PayloadType kTypes[] = {PayloadType::q8_0, PayloadType::q16, PayloadType::f16,
                                  PayloadType::f32};

struct Bench {
    Bench(const std::string& path, const Options& o) : file(path), options(o) {
        const auto& query = file.header().tensor(model::tensor_name::layer(0, "attn_q.weight"));
        kv = query.type == kernels::DType::f32 ? kernels::KvType::f32 : kernels::KvType::f16;
        // Beginnings that the model would write itself, each another.
        tests::LocalCluster one = cluster(1, PayloadType::f32, false);
        for (std::uint32_t i = 0; i < o.texts; ++i) {
            exec::Sampling sampling;
            sampling.temperature = 1;
            sampling.seed = i + 1;
            prompts.push_back({1});
            const Ids more = one.generate({1}, 4 + i % 9, sampling).ids;
            prompts.back().insert(prompts.back().end(), more.begin(), more.end());
            alone.push_back(one.generate(prompts.back(), o.tokens, {}).ids);
        }
    }

    tests::LocalCluster cluster(std::uint32_t devices, PayloadType type, bool summed) const {
        tests::ClusterOptions o;
        o.devices = devices;
        o.exec.kv_type = kv;
        o.exec.collectives = type;
        o.exec.scatter_rows = summed && devices > 2 ? o.exec.max_rows : 0;
        o.exec.kv_positions = 512;
        return {file, o};
    }

    // Of a text: the prompt and what one device writes after it.
    Ids whole(std::size_t i) const {
        Ids ids = prompts[i];
        ids.insert(ids.end(), alone[i].begin(), alone[i].end());
        return ids;
    }

    double error(tests::LocalCluster& one, tests::LocalCluster& many) const {
        double wrong = 0, all = 0;
        for (std::size_t i = 0; i < prompts.size(); i += 8) {
            const auto a = one.logits_along(whole(i), prompts[i].size());
            const auto b = many.logits_along(whole(i), prompts[i].size());
            for (std::size_t t = 0; t < a.size(); ++t) {
                for (std::size_t v = 0; v < a[t].size(); ++v) {
                    wrong += std::pow(double{a[t][v]} - b[t][v], 2);
                    all += std::pow(a[t][v], 2);
                }
            }
        }
        return std::sqrt(wrong / all);
    }

    void run(PayloadType type, bool summed) const {
        std::uint32_t same = 0, stayed = 0, moves = 0;
        double worst = 0;
        std::vector<Ids> before = alone;  // by fewer devices
        std::mt19937 random(7);
        tests::LocalCluster one = cluster(1, type, summed);
        for (std::uint32_t n = 2; n <= options.devices; ++n) {
            tests::LocalCluster many = cluster(n, type, summed);
            tests::LocalCluster fewer = cluster(n - 1, type, summed);
            for (std::size_t i = 0; i < prompts.size(); ++i) {
                const Ids ids = many.generate(prompts[i], options.tokens, {}).ids;
                same += ids == alone[i];
                const auto at = static_cast<std::ptrdiff_t>(1 + random() % (options.tokens - 1));
                Ids shown = prompts[i];
                shown.insert(shown.end(), ids.begin(), ids.begin() + at);
                const Ids rest =
                    fewer
                        .generate(shown, static_cast<std::uint32_t>(ids.end() - ids.begin() - at),
                                  {})
                        .ids;
                stayed += std::equal(rest.begin(), rest.end(), ids.begin() + at);
                ++moves;
            }
            worst = std::max(worst, error(one, many));
        }
        fmt::print("  {:<6} {:<6} alone {:3} of {}   moved {:3} of {}   error {:.1e}\n",
                   exec::name(type), summed ? "summed" : "", same, moves, stayed, moves, worst);
        std::fflush(stdout);
    }

    model::GgufFile file;
    const Options& options;
    kernels::KvType kv = kernels::KvType::f16;
    std::vector<Ids> prompts, alone;
};

// Microseconds that a row of partial sums takes to encode and to add, and its bytes.
void measure_rows(std::uint32_t dim) {
    std::vector<float> partial(dim), x(dim);
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (float& v : partial) v = normal(random);
    exec::ThreadPool pool(1);
    // Two devices, the other of which sends the same.
    struct Echo final : exec::Collective {
        std::uint32_t rank() const noexcept override { return 0; }
        std::uint32_t size() const noexcept override { return 2; }
        exec::Status all_gather(std::span<const std::byte> mine,
                                std::vector<std::span<const std::byte>>& theirs) override {
            theirs.assign(2, mine);
            return exec::Status::ok;
        }
        exec::Status all_to_all(std::span<const std::span<const std::byte>> mine,
                                std::vector<std::span<const std::byte>>& theirs) override {
            theirs.assign(2, mine[0]);
            return exec::Status::ok;
        }
        exec::Status broadcast(std::span<const std::byte>, std::span<const std::byte>&) override {
            return exec::Status::aborted;
        }
        exec::Status gather(std::span<const std::byte>,
                            std::vector<std::span<const std::byte>>&) override {
            return exec::Status::aborted;
        }
    } echo;
    for (const PayloadType type : kTypes) {
        double quickest[2] = {1e9, 1e9};  // each added by itself; summed
        std::size_t bytes = 0;
        for (const bool summed : {false, true}) {
            exec::AllReduce reduce(*kernels::table_for(kernels::best_isa()), type, dim, 1, 1,
                                   summed ? 2 : 0);
            bytes = reduce.row_bytes();
            for (int i = 0; i < 200; ++i) {
                const auto start = std::chrono::steady_clock::now();
                if (reduce.exchange(echo, pool, 1, partial.data()) != exec::Status::ok) return;
                reduce.add(0, 1, x.data(), 0);
                const std::chrono::duration<double, std::micro> took =
                    std::chrono::steady_clock::now() - start;
                quickest[summed] = std::min(quickest[summed], took.count());
            }
        }
        fmt::print("  {:<6} {:6} bytes   {:5.2f} us to encode and to add two, {:5.2f} summed\n",
                   exec::name(type), bytes, quickest[0], quickest[1]);
    }
}

// rms error against float64 of a sum of partial sums, of the rms of the sum: each as the payload
// holds it, and the sum coded once more.
void measure_sums(std::uint32_t devices) {
    constexpr std::uint32_t kDim = 1U << 16;
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<std::vector<float>> partials(devices, std::vector<float>(kDim));
    std::vector<double> exact(kDim);
    for (auto& partial : partials) {
        for (std::size_t i = 0; i < kDim; ++i) exact[i] += partial[i] = normal(random);
    }
    const auto rms = [&](const std::vector<float>& x) {
        double wrong = 0, all = 0;
        for (std::size_t i = 0; i < kDim; ++i) {
            wrong += std::pow(x[i] - exact[i], 2);
            all += std::pow(exact[i], 2);
        }
        return std::sqrt(wrong / all);
    };
    for (const PayloadType type : kTypes) {
        const exec::PayloadCode code(*kernels::table_for(kernels::best_isa()), type, kDim);
        std::vector<std::byte> coded(code.bytes(kDim));
        std::vector<float> sum(kDim), summed(kDim);
        for (const auto& partial : partials) {
            code.encode(partial.data(), coded.data(), kDim);
            code.accumulate(coded.data(), sum.data(), kDim);
        }
        code.encode(sum.data(), coded.data(), kDim);
        code.accumulate(coded.data(), summed.data(), kDim);
        fmt::print("  {:<6} {} devices: error {:.2e}, summed {:.2e}\n", exec::name(type), devices,
                   rms(sum), rms(summed));
    }
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app{"What the form of partial sums does to the texts of a model."};
    app.add_option("models", options.models, "GGUF files")->required()->check(CLI::ExistingFile);
    app.add_option("-t,--texts", options.texts, "Texts")->check(CLI::PositiveNumber);
    app.add_option("-n,--tokens", options.tokens, "Tokens of each")->check(CLI::Range(2, 480));
    app.add_option("-d,--devices", options.devices, "Devices at most")->check(CLI::Range(2, 64));
    CLI11_PARSE(app, argc, argv);
    try {
        for (const std::uint32_t dim : {1024U, 2048U, 4096U}) {
            fmt::print("a row {} wide\n", dim);
            measure_rows(dim);
        }
        for (const std::uint32_t devices : {3U, 8U}) measure_sums(devices);
        for (const std::string& path : options.models) {
            fmt::print("{}: {} texts of {} tokens, 2 to {} devices\n", path, options.texts,
                       options.tokens, options.devices);
            const Bench bench(path, options);
            for (const PayloadType type : kTypes) {
                for (const bool summed : {false, true}) bench.run(type, summed);
            }
        }
    } catch (const std::exception& error) {
        fmt::print(stderr, "payload-bench: {}\n", error.what());
        return 1;
    }
    return 0;
}
