// The invitations that a device has made, and whom they let in: a pure state machine, without
// sockets or a clock.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mesh/discovery/rate_limit.hpp"
#include "mesh/joining/invitation.hpp"
#include "mesh/joining/join_frames.hpp"

namespace shoal::mesh::joining {

using Time = std::chrono::steady_clock::time_point;

inline constexpr std::chrono::minutes kInvitationLife{10};
/// Of one that was used: its user may not have heard the answer.
inline constexpr std::chrono::seconds kUsedLife{30};
inline constexpr std::size_t kMaxOpen = 8;
/// What is over is known for a while, so that its holder is told so, and not that he is wrong.
inline constexpr std::chrono::hours kRemembered{1};
inline constexpr std::size_t kMaxRemembered = 64;
/// So many wrong proofs are no accident: all invitations are closed.
inline constexpr std::size_t kMaxWrong = 100;

/// Each secret lets in one device. A device that was wrong once is wrong from then on, whatever it
/// says, as long as any invitation is open; what it is told does not depend on how wrong it is.
/// Externally synchronised.
class Invitations {
  public:
    using Random = std::function<void(std::span<std::uint8_t>)>;

    Invitations(const PublicKey& inviter, Random random)
        : inviter_(inviter), random_(std::move(random)) {}
    ~Invitations();
    Invitations(const Invitations&) = delete;
    Invitations& operator=(const Invitations&) = delete;

    /// The secret of a new one; nothing when kMaxOpen are open.
    std::optional<Secret> make(Time now);
    /// What a device with a proven key, at an address, is to be told.
    enum class Verdict {
        welcome,    ///< it is in, for the first time
        once_more,  ///< it is in already, and did not hear so
        wrong,
        wrong_all_closed,  ///< the kMaxWrong-th: nothing is open any more
        used,
        expired,
        busy,
    };
    Verdict judge(const PublicKey& joiner, const std::string& host, const Proof& proof, Time now);

    /// Whether there is one to be used, or that was used a moment ago.
    bool any_open(Time now) const noexcept { return open(now) > 0; }
    /// When the next one is over; Time::max() without any.
    Time next_deadline(Time now) const noexcept;

  private:
    struct Made {
        Secret secret{};
        Time until;
        std::optional<PublicKey> used_by;
    };

    std::size_t open(Time now) const noexcept;
    void forget(Time now);

    const PublicKey inviter_;
    Random random_;
    std::vector<Made> made_;     // the oldest first
    std::set<PublicKey> wrong_;  // since the first that is open was made
    std::optional<discovery::RateLimit> limit_;
};

}  // namespace shoal::mesh::joining
