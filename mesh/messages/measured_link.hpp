// A link between two devices as it was measured, as `shoal status` shows it.
#pragma once

#include <cstddef>
#include <string>

namespace shoal::mesh::messages {

inline constexpr std::size_t kMaxListedLinks = 4096;
/// Both devices send each other so much at once where an exchange is timed.
inline constexpr std::size_t kTimedExchangeBytes = 2048;

struct MeasuredLink {
    std::string first, second;    ///< device ids, hex
    double exchange_seconds = 0;  ///< both have the other's kTimedExchangeBytes
    double there_bytes_per_second = 0, back_bytes_per_second = 0;  ///< from the first; to it
    std::string date;                                              ///< UTC: "2026-11-29T16:40:00Z"
    std::string first_address, second_address;  ///< as the root saw them; its own is empty
    std::string transport, cipher;              ///< of the data plane: "zmtp", "AES-256-GCM"
    bool operator==(const MeasuredLink&) const = default;
};

}  // namespace shoal::mesh::messages
