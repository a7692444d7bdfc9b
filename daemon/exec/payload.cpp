#include "daemon/exec/payload.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "daemon/exec/q16.hpp"

namespace shoal::exec {
namespace {

PayloadType usable(PayloadType type, std::uint32_t dim) noexcept {
    const bool blocks = type == PayloadType::q8_0 || type == PayloadType::q16;
    return blocks && dim % kernels::kActivationBlock != 0 ? PayloadType::f32 : type;
}

}  // namespace

std::optional<PayloadType> payload_type(std::string_view text) noexcept {
    for (const PayloadType type :
         {PayloadType::q8_0, PayloadType::q16, PayloadType::f16, PayloadType::f32}) {
        if (text == name(type)) return type;
    }
    return std::nullopt;
}

PayloadCode::PayloadCode(const kernels::Table& kernels, PayloadType type,
                         std::uint32_t dim) noexcept
    : kernels_(kernels),
      type_(usable(type, dim)),
      step_(dim % kernels::kActivationBlock == 0 ? kernels::kActivationBlock : 1) {}

std::size_t PayloadCode::bytes(std::size_t n) const noexcept {
    switch (type_) {
        case PayloadType::q8_0:
            return kernels::row_bytes(kernels::DType::q8_0, n);
        case PayloadType::q16:
            return n / std::size(Q16Block{}.q) * sizeof(Q16Block);
        case PayloadType::f16:
            return 2 * n;
        case PayloadType::f32:
            return 4 * n;
    }
    return 0;
}

void PayloadCode::encode(const float* x, std::byte* out, std::size_t n) const noexcept {
    switch (type_) {
        case PayloadType::q8_0:
            kernels_.quantize_q8_0(x, out, n);
            break;
        case PayloadType::q16:
            quantize_q16(x, out, n);
            break;
        case PayloadType::f16:
            kernels_.f32_to_f16(x, reinterpret_cast<std::uint16_t*>(out), n);
            break;
        case PayloadType::f32:
            std::memcpy(out, x, n * sizeof(float));
            break;
    }
}

void PayloadCode::accumulate(const std::byte* in, float* y, std::size_t n) const noexcept {
    if (type_ == PayloadType::q8_0) return kernels_.accumulate_q8_0(in, y, n);
    if (type_ == PayloadType::q16) return accumulate_q16(in, y, n);
    // Payloads lie wherever the transport received them; copy to alignment where the kernel reads
    // wider elements than bytes.
    alignas(64) std::byte row[4096];
    const std::size_t unit = type_ == PayloadType::f16 ? 2 : 4;
    for (std::size_t done = 0; done < n;) {
        const std::size_t some = std::min(sizeof row / unit, n - done);
        std::memcpy(row, in + done * unit, some * unit);
        if (type_ == PayloadType::f16) {
            kernels_.accumulate_f16(reinterpret_cast<const std::uint16_t*>(row), y + done, some);
        } else {
            kernels_.add(y + done, reinterpret_cast<const float*>(row), some);
        }
        done += some;
    }
}

}  // namespace shoal::exec
