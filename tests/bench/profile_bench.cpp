// profile-bench: what this device does in a second, and what that predicts of models; model-bench
// says what they really take.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdint>
#include <exception>
#include <string>
#include <vector>

#include "daemon/exec/thread_pool.hpp"
#include "daemon/measure/measure.hpp"
#include "daemon/model/gguf.hpp"
#include "daemon/model/hparams.hpp"
#include "daemon/planner/prediction.hpp"
#include "daemon/shard/cutter.hpp"

namespace {

using namespace shoal;

struct Options {
    std::vector<std::string> models;
    std::uint32_t threads = 1, prompt = 512, depth = 0;
    std::uint64_t mebibytes = 128;
    std::uint32_t milliseconds = 2500;
};

void show(const planner::DeviceProfile& p) {
    for (const planner::Family family : planner::kFamilies) {
        const planner::Rates& r = p.of(family);
        fmt::print("{:4} one row {:6.2f} GB/s  many rows {:7.1f} G/s  in file {:7.1f} G/s\n",
                   planner::name(family), r.one_row / 1e9, r.many_rows / 1e9, r.in_file / 1e9);
    }
    fmt::print("attention one row {:.2f} G/s  many rows {:.2f} G/s\n", p.attend_one / 1e9,
               p.attend_many / 1e9);
    fmt::print("elements {:.3f} G/s  layer {:.2f} us\n", p.elements / 1e9, p.layer_seconds * 1e6);
}

void predict(const planner::DeviceProfile& profile, const std::string& path, const Options& o) {
    const model::GgufFile file(path);
    const model::Hparams hp = model::read_hparams(file);
    const planner::ModelWork work = planner::work_of(file.header(), hp);
    planner::Cluster cluster;
    cluster.devices = {{"here", profile, 0, 1}};
    const std::array<std::size_t, 1> members{0};
    const auto slices = shard::cut_evenly(file.header(), hp, 1);
    const planner::Predictor predict(work, cluster, members, {});
    const auto tell = [](const char* what, double tokens, const planner::Seconds& s) {
        fmt::print(
            "  {:8} {:9.2f} tokens/s: attention {:.3f} ffn {:.3f} lm head {:.3f} between "
            "{:.3f} ms\n",
            what, tokens / s.sum(), s.attention * 1e3, s.ffn * 1e3, s.lm_head * 1e3,
            s.between * 1e3);
    };
    fmt::print("{}\n", path);
    tell("prefill", o.prompt, predict.prefill(slices, o.prompt, o.depth));
    tell("decode", 1, predict.decode(slices, o.depth + o.prompt + 32));
}

int bench(const Options& o) {
    exec::ThreadPool pool(o.threads);
    const auto profile =
        measure::measure(*kernels::table_for(kernels::best_isa()), pool,
                         {o.mebibytes << 20, std::chrono::milliseconds(o.milliseconds)}, {},
                         [](unsigned, unsigned) {});
    show(*profile);
    for (const std::string& path : o.models) predict(*profile, path, o);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("What this device does in a second, and what that predicts of models.");
    Options o;
    app.add_option("-m,--model", o.models, "GGUF files");
    app.add_option("-t,--threads", o.threads, "compute threads")->check(CLI::Range(1, 1024));
    app.add_option("-p,--prompt", o.prompt, "tokens of the prompt");
    app.add_option("--depth", o.depth, "positions before the prompt");
    app.add_option("--mebibytes", o.mebibytes, "of the largest matrix")->check(CLI::Range(1, 4096));
    app.add_option("--milliseconds", o.milliseconds, "of the measurement");
    try {
        app.parse(argc, argv);
        return bench(o);
    } catch (const CLI::ParseError& error) {
        return app.exit(error);
    } catch (const std::exception& error) {
        fmt::print(stderr, "profile-bench: {}\n", error.what());
        return 1;
    }
}
