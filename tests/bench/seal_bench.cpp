// What it costs to seal a frame and to open it: GB/s of one core, by cipher and size.
//
//   seal_bench [SECONDS]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "mesh/exchange/zmtp/seal.hpp"

namespace {

using namespace shoal::mesh::exchange;
using namespace shoal::mesh::exchange::zmtp;
using Clock = std::chrono::steady_clock;

/// A row 2048 wide as q8_0 and f32, and many rows.
constexpr std::size_t kSizes[] = {2176, 8192, 65536, 1 << 20};

double gb_per_second(double seconds, std::size_t bytes, const std::function<void()>& once) {
    double best = 0;  // of ten: what disturbs only makes it slower
    for (int i = 0; i < 10; ++i) {
        std::size_t count = 0;
        const auto start = Clock::now();
        std::chrono::duration<double> took{};
        while ((took = Clock::now() - start).count() < seconds / 10) {
            once();
            ++count;
        }
        best = std::max(best, static_cast<double>(count * bytes) / took.count() / 1e9);
    }
    return best;
}

}  // namespace

int main(int argc, char** argv) {
    const double seconds = argc > 1 ? std::atof(argv[1]) : 0.3;
    std::printf("GB/s of one core; the best for it: %s\n", name_of(best_of(quick_ciphers())));
    for (const Cipher cipher :
         {Cipher::aes_256_ocb, Cipher::aes_256_gcm, Cipher::chacha20_poly1305}) {
        for (const std::size_t size : kSizes) {
            const SealKey key{1, 2, 3};
            FrameHeader header;
            header.length = static_cast<std::uint32_t>(size);
            std::vector<std::byte> frame(kHeaderBytes + size), sealed(frame.size() + kSealBytes);
            encode(header, std::span<std::byte, kHeaderBytes>(frame.data(), kHeaderBytes));
            Sealer sealer(key, cipher, 0);
            const auto seal = [&] {
                sealer.begin(frame, sealed);
                sealer.go_on(size);
            };
            const double sealing = gb_per_second(seconds, size, seal);
            // Opening is in place, so each frame is sealed first, and that is taken off.
            bool opened = true;
            Opener opener(key, sealer.counter());
            const double both = gb_per_second(seconds, size, [&] {
                seal();
                opened = opened && opener.go_on(sealed, sealed.size()) && opener.finish(sealed);
            });
            if (!opened) return 1;
            std::printf("%-20s %8zu B   seal %5.2f   open %5.2f\n", name_of(cipher), size, sealing,
                        1 / (1 / both - 1 / sealing));
        }
    }
    return 0;
}
