// Sealed frames: any bytes, in any pieces, are refused without the key; what was sealed opens to
// the same, unless a bit of it was changed or a later frame came before it.
#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <vector>

#include "mesh/exchange/zmtp/seal.hpp"

using namespace shoal::mesh::exchange;
using namespace shoal::mesh::exchange::zmtp;

namespace {

using Bytes = std::vector<std::byte>;

void require(bool condition) {
    if (!condition) std::abort();
}

/// Of this run, so that no input can be made for it.
const SealKey& key() {
    static const SealKey of_run = [] {
        require(sodium_init() >= 0);
        return generate_seal_key();
    }();
    return of_run;
}

std::optional<Bytes> open(Opener& opener, Bytes sealed, std::size_t piece) {
    for (std::size_t there = 0; there < sealed.size();) {
        there += std::min(piece, sealed.size() - there);
        if (!opener.go_on(sealed, there)) return std::nullopt;
    }
    const auto frame = opener.finish(sealed);
    if (!frame) return std::nullopt;
    return Bytes(frame->begin(), frame->end());
}

Bytes seal(Sealer& sealer, std::span<const std::byte> frame, std::size_t piece) {
    Bytes out(frame.size() + kSealBytes);
    sealer.begin(frame, out);
    while (sealer.go_on(piece) < out.size()) {
    }
    return out;
}

/// Bytes from anywhere.
void fuzz_raw(std::span<const std::byte> input, std::size_t piece) {
    Opener opener(key(), 0);
    require(!open(opener, Bytes(input.begin(), input.end()), piece));
    // It is not spoiled for what comes next, unless that claimed to be the last frame of all.
    constexpr std::uint64_t kLate = ~std::uint64_t{0} - 1;
    Sealer sealer(key(), Cipher::chacha20_poly1305, kLate);
    const Bytes frame(kHeaderBytes, std::byte{3});
    Bytes want = frame;
    want[kSealAt] = std::byte{0};
    const auto got = open(opener, seal(sealer, frame, 64), piece);
    require(!got || *got == want);
}

/// A frame of the input's bytes, with one of them changed or not.
void fuzz_changed(Cipher cipher, std::span<const std::byte> input, std::size_t piece) {
    if (input.size() < kHeaderBytes + 4) return;
    const std::size_t at =
        std::to_integer<std::size_t>(input[0]) | std::to_integer<std::size_t>(input[1]) << 8;
    const std::byte change = input[2];
    Bytes frame(input.begin() + 4, input.end());
    frame[kSealAt] = std::byte{0};
    Sealer sealer(key(), cipher, std::to_integer<std::uint64_t>(input[3])),
        again = [&] { return Sealer(key(), cipher, std::to_integer<std::uint64_t>(input[3])); }();
    Bytes sealed = seal(sealer, frame, std::max<std::size_t>(piece, 16));
    require(sealed == seal(again, frame, frame.size() + 16));
    sealed[at % sealed.size()] ^= change;
    Opener opener(key(), 0);
    const auto opened = open(opener, sealed, piece);
    require(opened.has_value() == (change == std::byte{0}));
    if (opened) require(*opened == frame);
}

/// Some frames, in the order that the input says.
void fuzz_order(Cipher cipher, std::span<const std::byte> input, std::size_t piece) {
    Sealer sealer(key(), cipher, 1);
    std::array<Bytes, 8> sealed;
    for (std::size_t i = 0; i < sealed.size(); ++i) {
        sealed[i] = seal(sealer, Bytes(kHeaderBytes + 11 * i), 32);
    }
    Opener opener(key(), 1);
    std::size_t next = 0;
    for (const std::byte which : input.first(std::min<std::size_t>(input.size(), 32))) {
        const std::size_t i = std::to_integer<std::size_t>(which) % sealed.size();
        require(open(opener, sealed[i], piece).has_value() == (i >= next));
        next = std::max(next, i + 1);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const auto cipher = static_cast<Cipher>(1 + data[0] / 3 % 3);
    const std::size_t piece = 1 + data[1];
    const auto input = std::as_bytes(std::span(data, size)).subspan(2);
    switch (data[0] % 3) {
        case 0:
            fuzz_raw(input, piece);
            break;
        case 1:
            fuzz_changed(cipher, input, piece);
            break;
        default:
            fuzz_order(cipher, input, piece);
            break;
    }
    return 0;
}
