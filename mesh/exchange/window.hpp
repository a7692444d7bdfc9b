// The frames of one direction between two devices that are kept: sent and not acknowledged yet, or
// arrived and not taken yet.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "mesh/exchange/port.hpp"

namespace shoal::mesh::exchange {

/// Frames that a device may have sent to a peer without knowing that they arrived. All-gathers
/// acknowledge each other, so two would do for them; the rest lets a root run ahead.
inline constexpr std::size_t kDepth = 8;

/// At most kDepth frames, each of another collective.
class Window {
  public:
    struct Entry {
        std::uint64_t op = 0;  ///< the collective; they count from 1, so 0 is "free"
        Frame frame;
        Time at{};  ///< when it was kept
    };

    /// The frame of collective `op`, or nullptr.
    const Entry* find(std::uint64_t op) const noexcept {
        for (const Entry& entry : entries_) {
            if (entry.op == op) return &entry;
        }
        return nullptr;
    }
    /// The first frame after collective `op`, or nullptr.
    const Entry* after(std::uint64_t op) const noexcept {
        const Entry* next = nullptr;
        for (const Entry& entry : entries_) {
            if (entry.op > op && (next == nullptr || entry.op < next->op)) next = &entry;
        }
        return next;
    }
    bool full() const noexcept { return find(0) == nullptr; }

    /// False when there is no room.
    [[nodiscard]] bool keep(std::uint64_t op, Frame frame, Time now) {
        for (Entry& entry : entries_) {
            if (entry.op != 0) continue;
            entry = {op, std::move(frame), now};
            return true;
        }
        return false;
    }
    /// Other bytes for the frame of `op`, if it is there.
    void replace(std::uint64_t op, Frame frame) {
        for (Entry& entry : entries_) {
            if (entry.op == op) entry.frame = std::move(frame);
        }
    }
    /// Lets go of the frames of collectives before `op`.
    void release(std::uint64_t op) {
        for (Entry& entry : entries_) {
            if (entry.op != 0 && entry.op < op) entry = {};
        }
    }

  private:
    std::array<Entry, kDepth> entries_;
};

}  // namespace shoal::mesh::exchange
