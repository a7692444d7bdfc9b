// The data plane: activations among the devices of a plan, lossless and in lock-step.
// Moves bytes; knows no numbers.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "mesh/wire/identity.hpp"

namespace shoal::mesh {

/// A device of the plan as the data plane sees it.
struct Peer {
    DeviceId id;
    std::array<std::uint8_t, 32> public_key{};  ///< CURVE key
    std::string endpoint;                       ///< "tcp://10.77.0.2:41234"
};

/// How a data-plane operation ended.
enum class [[nodiscard]] ExchangeStatus : std::uint8_t{
    ok,
    aborted,    ///< stop was requested, or a peer abandoned the step
    timed_out,  ///< a peer stayed silent beyond the limit
};

/// Why an exchange ended.
struct ExchangeFailure {
    std::string what;               ///< for the log; empty while the exchange works
    std::vector<DeviceId> missing;  ///< whom we heard nothing from, when that is why
};

/// Called by one thread at a time (the engine's, or in a step of two halves that of the second one)
/// and let go of by the engine's; the stop token may be triggered by any thread.
class Exchange {
  public:
    virtual ~Exchange() = default;
    virtual std::uint32_t rank() const noexcept = 0;
    virtual std::uint32_t size() const noexcept = 0;

    /// Everyone sends `mine` to everyone; all ranks call it, in the same order of calls.
    /// theirs[r] is rank r's payload, theirs[rank()] is `mine`. The views stay valid until the
    /// next call and are not aligned. Payload sizes may differ between ranks.
    virtual ExchangeStatus all_gather(std::span<const std::byte> mine,
                                      std::vector<std::span<const std::byte>>& theirs) = 0;

    /// Everyone sends each rank its own part: mine[r] goes to rank r, theirs[r] is what rank r sent
    /// here. theirs[rank()] is a view of mine[rank()], not a copy; the other views stay valid until
    /// the next call and are not aligned. Parts may differ in size, and be empty.
    /// Requires: mine.size() == size().
    virtual ExchangeStatus all_to_all(std::span<const std::span<const std::byte>> mine,
                                      std::vector<std::span<const std::byte>>& theirs) = 0;

    /// Rank `root` sends `payload` to all; on the others `payload` is ignored and `received` is
    /// set. Waits without limit on non-roots (an idle cluster is silent) until stop.
    virtual ExchangeStatus broadcast(std::uint32_t root, std::span<const std::byte> payload,
                                     std::span<const std::byte>& received) = 0;

    /// Everyone's payload to rank `root`; only there `theirs` is filled.
    virtual ExchangeStatus gather(std::uint32_t root, std::span<const std::byte> mine,
                                  std::vector<std::span<const std::byte>>& theirs) = 0;

    /// Why the exchange ended. After the first status other than ok every call returns that status.
    virtual ExchangeFailure failure() const { return {}; }
};

}  // namespace shoal::mesh
