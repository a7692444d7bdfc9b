// What the forward pass asks of the devices of its plan.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace shoal::exec {

enum class [[nodiscard]] Status : std::uint8_t{
    ok,
    aborted,    ///< the step was abandoned: a stop was requested or a device left the plan
    timed_out,  ///< a device stayed silent
    no_memory,  ///< no KV block is free
    malformed,  ///< a message of another device makes no sense: versions differ
};

/// Exchanges bytes among the devices of a plan, for the layers of a step. All ranks make the same
/// calls in the same order. Owned by the thread that runs the steps. Views stay valid until the
/// next call.
class LayerCollective {
  public:
    virtual ~LayerCollective() = default;
    virtual std::uint32_t rank() const noexcept = 0;
    virtual std::uint32_t size() const noexcept = 0;
    /// Everyone's payload to everyone, in rank order; sizes may differ.
    virtual Status all_gather(std::span<const std::byte> mine,
                              std::vector<std::span<const std::byte>>& theirs) = 0;
    /// mine[r] to rank r; theirs[r] is what rank r sent here, and theirs[rank()] a view of
    /// mine[rank()]. Parts may differ in size, and be empty. Requires: mine.size() == size().
    virtual Status all_to_all(std::span<const std::span<const std::byte>> mine,
                              std::vector<std::span<const std::byte>>& theirs) = 0;
};

/// And for what leads from step to step.
class Collective : public LayerCollective {
  public:
    /// What is computed until the next broadcast is not shared out as the slices are, and so says
    /// nothing of whose device is slow.
    virtual void uneven() noexcept {}
    /// Rank 0's payload to all; others wait for it without limit.
    virtual Status broadcast(std::span<const std::byte> payload,
                             std::span<const std::byte>& received) = 0;
    /// Everyone's payload to rank 0.
    virtual Status gather(std::span<const std::byte> mine,
                          std::vector<std::span<const std::byte>>& theirs) = 0;
};

/// The collective of a plan with one device.
class SoloCollective final : public Collective {
  public:
    std::uint32_t rank() const noexcept override { return 0; }
    std::uint32_t size() const noexcept override { return 1; }
    Status all_gather(std::span<const std::byte> mine,
                      std::vector<std::span<const std::byte>>& theirs) override {
        theirs.assign(1, mine);
        return Status::ok;
    }
    Status all_to_all(std::span<const std::span<const std::byte>> mine,
                      std::vector<std::span<const std::byte>>& theirs) override {
        theirs.assign(mine.begin(), mine.end());
        return Status::ok;
    }
    Status broadcast(std::span<const std::byte> payload,
                     std::span<const std::byte>& received) override {
        received = payload;
        return Status::ok;
    }
    Status gather(std::span<const std::byte> mine,
                  std::vector<std::span<const std::byte>>& theirs) override {
        theirs.assign(1, mine);
        return Status::ok;
    }
};

}  // namespace shoal::exec
