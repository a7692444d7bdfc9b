// Speed of the kernels: for each weight type, ISA and number of activation rows, the rate at which
// weight bytes are read and the multiply-adds done, both on one thread.
//
// usage: kernels_bench [--cols N] [--outputs N] [--isa NAME] [--type NAME] [--seconds S]
//                      [--rows N] [--kernel matmul|attend|other|peak]
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernels.hpp"
#include "kernels/panel.hpp"
#include "tests/bench/register_peak.hpp"

using namespace shoal;
using namespace shoal::kernels;

namespace {

struct Options {
    std::size_t cols = 4096;
    /// Enough that the weights of every type exceed most caches when there is one row.
    std::size_t outputs = 16384;
    std::string isa;
    std::string type;
    std::string kernel;
    double seconds = 0.3;
    std::size_t rows = 0;  ///< of x in products; 0: all of kRows
};

constexpr std::size_t kRows[] = {1, 2, 4, 8, 16, 128, 512};

/// Memory as the daemon takes it for weights: from the kernel, in huge pages where it can.
class Weights {
  public:
    explicit Weights(std::size_t bytes) : bytes_(bytes) {
        void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) throw std::bad_alloc();
        data_ = static_cast<std::byte*>(p);
        madvise(p, bytes, MADV_HUGEPAGE);
    }
    ~Weights() { munmap(data_, bytes_); }
    Weights(const Weights&) = delete;
    Weights& operator=(const Weights&) = delete;
    std::byte* data() const { return data_; }
    std::size_t size() const { return bytes_; }

  private:
    std::byte* data_;
    std::size_t bytes_;
};

/// CPU time of this thread: other load on the machine disturbs it less than it does the clock.
double now() {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// Seconds of one call: the fastest of those that fit into the time given, at least two.
template <class Call>
double time_of(double seconds, Call call) {
    call();
    double best = 1e30;
    const double end = now() + seconds;
    int calls = 0;
    do {
        const double start = now();
        call();
        best = std::min(best, now() - start);
    } while (++calls < 2 || now() < end);
    return best;
}

std::vector<float> random_floats(std::size_t n) {
    std::mt19937 rng(1);
    std::normal_distribution<float> normal;
    std::vector<float> x(n);
    for (float& v : x) v = normal(rng);
    return x;
}

void report(const Table& table, DType type, const char* layout, std::size_t rows, double bytes,
            double macs, double seconds) {
    std::printf("%-11s %-6s %-6s rows %4zu  %7.2f GB/s of weights  %7.1f GMAC/s\n", table.name,
                name(type), layout, rows, bytes / seconds * 1e-9, macs / seconds * 1e-9);
}

/// Products of weights in file layout and, where the table packs them, in panels; and packing.
void bench_matmul(const Table& table, DType type, const Options& options) {
    const std::size_t bytes = row_bytes(type, options.cols);
    const std::size_t groups = options.cols / kActivationBlock;
    // One random row, repeated: quantising them all would take longer than the measurement.
    const auto row = random_floats(options.cols);
    Weights w(bytes * options.outputs);
    quantize(type, row.data(), w.data(), options.cols);
    for (std::size_t o = 1; o < options.outputs; ++o) {
        std::memcpy(w.data() + o * bytes, w.data(), bytes);
    }
    Weights packed(std::max<std::size_t>(packed_bytes(type, options.outputs, 0, groups), 1));
    const auto pack = table.pack_for(type);
    if (pack != nullptr) {
        const double t = time_of(options.seconds, [&] {
            for (std::size_t o = 0; o < options.outputs; o += kPanelRows) {
                pack({w.data() + o * bytes, bytes, kPanelRows, 0, groups,
                      packed.data() + o / kPanelRows * panel_bytes(type, 0, groups)});
            }
        });
        std::printf("%-11s %-6s pack              %7.2f GB/s of weights\n", table.name, name(type),
                    static_cast<double>(w.size()) / t * 1e-9);
    }
    const bool q8 = activation_format(type) == ActivationFormat::q8;
    for (const std::size_t rows : kRows) {
        if (options.rows != 0 && options.rows != rows) continue;
        const auto x = random_floats(rows * options.cols);
        std::vector<ActivationBlock> blocks(x.size() / kActivationBlock);
        table.quantize_activations(x.data(), blocks.data(), x.size());
        const std::size_t stride = groups * sizeof(ActivationBlock);
        // Short calls, so that the fastest of many meets no interruption.
        const std::size_t outputs =
            rows == 1 ? options.outputs
                      : std::max<std::size_t>(options.outputs / rows / 32 * 32, 128);
        std::vector<float> y(rows * outputs);
        const double weight_bytes = static_cast<double>(outputs * bytes);
        const double macs = static_cast<double>(outputs * options.cols * rows);
        const Matmul m{w.data(),
                       bytes,
                       q8 ? static_cast<const void*>(blocks.data()) : x.data(),
                       q8 ? stride : options.cols * sizeof(float),
                       y.data(),
                       outputs,
                       options.cols,
                       rows,
                       0,
                       outputs};
        report(table, type, "file", rows, weight_bytes, macs,
               time_of(options.seconds, [&] { table.matmul_for(type)(m); }));
        if (pack == nullptr) continue;
        const PanelMatmul p{packed.data(), 0,    groups, blocks.data(), stride, y.data(),
                            outputs,       rows, 0,      outputs};
        report(table, type, "packed", rows, weight_bytes, macs,
               time_of(options.seconds, [&] { table.panel_matmul_for(type)(p); }));
    }
}

/// Rows of a prompt (one: decoding) against 1024 blocks that lie one after another, more than the
/// second-level cache holds.
void bench_attend(const Table& table, KvType type, std::size_t dim, std::size_t group,
                  std::size_t rows, const Options& options) {
    const std::size_t chunks = 1024;
    const std::size_t block = kv_block_bytes(type, dim);
    // Bytes that are small normal numbers in every type.
    std::vector<std::byte> kv(2 * chunks * block);
    for (std::size_t i = 0; i < kv.size(); ++i) kv[i] = static_cast<std::byte>(0x30 + i * 7 % 11);
    const auto q = random_floats(rows * group * dim);
    const std::vector<std::uint32_t> positions(rows, kAttendChunk);
    std::vector<float> max(rows * group), sum(rows * group), acc(rows * group * dim);
    const double t = time_of(options.seconds, [&] {
        for (std::size_t c = 0; c < chunks; ++c) {
            AttendTile tile{};
            tile.q = q.data();
            tile.q_stride = group * dim;
            tile.k = kv.data() + 2 * c * block;
            tile.v = tile.k + block;
            tile.next = c + 1 < chunks ? tile.v + block : nullptr;
            tile.positions = positions.data();
            tile.rows = rows;
            tile.group = group;
            tile.head_dim = dim;
            tile.scale = 0.1f;
            tile.max = max.data();
            tile.sum = sum.data();
            tile.acc = acc.data();
            table.attend_for(type)(tile);
        }
    });
    const double flops = 4.0 * static_cast<double>(chunks * kAttendChunk * dim * group * rows);
    std::printf("%-5s attend %-5s dim %3zu group %2zu rows %3zu  %7.2f GB/s of KV  %8.1f GFLOP/s\n",
                table.name, name(type), dim, group, rows, static_cast<double>(kv.size()) / t * 1e-9,
                flops / t * 1e-9);
}

void bench_elementwise(const Table& table, const Options& options) {
    const std::size_t n = 4096;
    const auto x = random_floats(n);
    const auto w = random_floats(n);
    std::vector<float> out(n);
    std::vector<std::uint16_t> half(n);
    std::vector<ActivationBlock> blocks(n / kActivationBlock);
    std::vector<std::byte> q8(row_bytes(DType::q8_0, n));
    const auto line = [&](const char* what, auto call) {
        const double t = time_of(options.seconds / 10, [&] {
            for (int i = 0; i < 16; ++i) call();
        });
        std::printf("%-5s %-22s %8.2f elements/ns\n", table.name, what,
                    16.0 * static_cast<double>(n) / t * 1e-9);
    };
    line("quantize_activations", [&] { table.quantize_activations(x.data(), blocks.data(), n); });
    line("rms_norm", [&] { table.rms_norm(x.data(), w.data(), out.data(), n, 1e-5f); });
    line("silu_mul", [&] { table.silu_mul(x.data(), w.data(), out.data(), n); });
    line("add", [&] { table.add(out.data(), w.data(), n); });
    line("f32_to_f16", [&] { table.f32_to_f16(x.data(), half.data(), n); });
    line("f16_to_f32", [&] { table.f16_to_f32(half.data(), out.data(), n); });
    line("quantize_q8_0", [&] { table.quantize_q8_0(x.data(), q8.data(), n); });
    line("accumulate_q8_0", [&] { table.accumulate_q8_0(q8.data(), out.data(), n); });
    line("accumulate_f16", [&] { table.accumulate_f16(half.data(), out.data(), n); });
}

void bench_peak(const Table& table, const Options& options) {
    const auto line = [&](const char* what, double peak) {
        if (peak == 0) return;
        std::printf("%-11s %-22s registers alone %7.1f GMAC/s\n", table.name, what, peak * 1e-9);
    };
    line("integer dot products,", bench::integer_peak(table, options.seconds));
    line("f32 multiply-adds,", bench::float_peak(table, options.seconds));
    line("bf16 dot products,", bench::bf16_peak(table, options.seconds));
}

[[noreturn]] void usage(const char* what) {
    std::fprintf(stderr,
                 "kernels_bench: %s\nusage: kernels_bench [--cols N (multiple of 256)] "
                 "[--outputs N] [--isa NAME] [--type NAME] [--rows N] "
                 "[--kernel matmul|attend|other|peak] [--seconds S]\n",
                 what);
    std::exit(2);
}

Options parse(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; i += 2) {
        const std::string key = argv[i];
        if (i + 1 == argc) usage(("no value for " + key).c_str());
        const char* value = argv[i + 1];
        if (key == "--cols") {
            options.cols = std::strtoul(value, nullptr, 10);
        } else if (key == "--outputs") {
            options.outputs = std::strtoul(value, nullptr, 10);
        } else if (key == "--isa") {
            options.isa = value;
        } else if (key == "--type") {
            options.type = value;
        } else if (key == "--kernel") {
            options.kernel = value;
        } else if (key == "--rows") {
            options.rows = std::strtoul(value, nullptr, 10);
        } else if (key == "--seconds") {
            options.seconds = std::strtod(value, nullptr);
        } else {
            usage(("unknown option " + key).c_str());
        }
    }
    if (options.cols == 0 || options.cols % 256 != 0) usage("--cols is not a multiple of 256");
    if (options.outputs < 512) usage("--outputs is below 512");
    return options;
}

}  // namespace

int main(int argc, char** argv) {
    const Options options = parse(argc, argv);
    for (const Isa isa : kIsas) {
        const Table* table = table_for(isa);
        if (table == nullptr || (!options.isa.empty() && options.isa != table->name)) continue;
        const auto wanted = [&](const char* kernel, const char* type) {
            return (options.kernel.empty() || options.kernel == kernel) &&
                   (options.type.empty() || options.type == type);
        };
        if (wanted("peak", "")) bench_peak(*table, options);
        for (const DType type : kDTypes) {
            if (wanted("matmul", name(type))) bench_matmul(*table, type, options);
        }
        for (const KvType type : {KvType::f32, KvType::f16, KvType::q8_0}) {
            if (!wanted("attend", name(type))) continue;
            for (const std::size_t dim : {64, 128}) {
                for (const std::size_t group : {1, 4, 8}) {
                    bench_attend(*table, type, dim, group, 1, options);
                }
                bench_attend(*table, type, dim, 4, 16, options);
            }
        }
        if (wanted("other", "")) bench_elementwise(*table, options);
    }
    return 0;
}
