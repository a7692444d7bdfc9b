// What is known of devices and of the links between them when a plan is made: measured, or said in
// a file (what_if.hpp). Plain numbers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/types.hpp"

namespace shoal::planner {

/// Types of weights whose products take about as long for each byte, or for each multiply-add.
enum class Family : std::uint8_t {
    f32,
    f16,  ///< F16, BF16
    q8,   ///< Q8_0
    q4,   ///< Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL
    k,    ///< Q2_K to Q6_K, IQ4_XS
};
inline constexpr std::size_t kFamilyCount = 5;
inline constexpr std::array kFamilies{Family::f32, Family::f16, Family::q8, Family::q4, Family::k};

constexpr Family family_of(kernels::DType type) noexcept {
    using enum kernels::DType;
    switch (type) {
        case f32:
            return Family::f32;
        case f16:
        case bf16:
            return Family::f16;
        case q8_0:
            return Family::q8;
        case q4_0:
        case q4_1:
        case q5_0:
        case q5_1:
        case iq4_nl:
            return Family::q4;
        case q2_k:
        case q3_k:
        case q4_k:
        case q5_k:
        case q6_k:
        case iq4_xs:
            break;
    }
    return Family::k;
}

/// The type that stands for its family when a device is measured.
constexpr kernels::DType type_of(Family family) noexcept {
    switch (family) {
        case Family::f32:
            return kernels::DType::f32;
        case Family::f16:
            return kernels::DType::f16;
        case Family::q8:
            return kernels::DType::q8_0;
        case Family::q4:
            return kernels::DType::q4_0;
        case Family::k:
            break;
    }
    return kernels::DType::q4_k;
}

/// "f32", "q4": as files and messages have them.
constexpr const char* name(Family family) noexcept {
    constexpr std::array kNames{"f32", "f16", "q8", "q4", "k"};
    return kNames[static_cast<std::size_t>(family)];
}

/// Products of one family of weights, on all compute threads of a device together.
struct Rates {
    double one_row = 0;    ///< bytes of weights a second, multiplied by one row
    double many_rows = 0;  ///< multiply-adds a second with many rows, weights packed
    double in_file = 0;    ///< the same of weights as the file has them
    bool operator==(const Rates&) const = default;
};

/// What one device does in a second, with all its compute threads.
struct DeviceProfile {
    std::array<Rates, kFamilyCount> rates{};
    /// Elements of K, with as many of V, that one query head attends to: with one row, which reads
    /// them from memory, and with many.
    double attend_one = 0, attend_many = 0;
    /// Elements of the residual stream that are added, normalised and coded between two products.
    double elements = 0;
    /// Seconds of a layer that pass however little it computes: loops that begin and end.
    double layer_seconds = 0;
    bool operator==(const DeviceProfile&) const = default;

    const Rates& of(Family family) const noexcept {
        return rates[static_cast<std::size_t>(family)];
    }
    /// Of a device of which only the bytes of weights a second are known: everything else as it is
    /// on common hardware beside that.
    static DeviceProfile guess(double bytes_per_second);
    /// The same device when everything takes `factor` times as long.
    DeviceProfile slowed(double factor) const;
};

/// All numbers are finite, above 0 and within what devices of any time to come can do: whatever
/// comes from elsewhere passes this before it is calculated with.
bool plausible(const DeviceProfile& profile) noexcept;

/// A link between two devices.
struct Link {
    /// Both send each other a frame at once and have it, but for the time of its bytes.
    double exchange_seconds = 250e-6;
    double bytes_per_second = 110e6;  ///< of frames, in one direction
    bool operator==(const Link&) const = default;
};

/// A device as a plan sees it.
struct PlanDevice {
    std::string name;
    DeviceProfile profile;
    std::uint64_t memory_bytes = 0;  ///< for slice, KV cache and buffers; 0: no limit
    double most = 1;                 ///< at most this part of heads, FFN columns and vocabulary
    bool whole_file = false;         ///< it has the model's file
    bool operator==(const PlanDevice&) const = default;
};

/// The devices at hand and their links. The first device is the root.
struct Cluster {
    std::vector<PlanDevice> devices;
    Link usual;                      ///< between two devices of which nothing else is said
    std::vector<Link> links;         ///< empty, or of each (from, to), from * devices.size() + to
    std::size_t measured_pairs = 0;  ///< of devices, whose links are known

    const Link& link(std::size_t from, std::size_t to) const noexcept {
        return links.empty() ? usual : links[from * devices.size() + to];
    }
};

}  // namespace shoal::planner
