// Which links between devices are measured, and when: the root's part, and a member's.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/links/link_tester.hpp"
#include "daemon/loop/loop.hpp"
#include "daemon/plan/link_book.hpp"
#include "mesh/messages/plan.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// The root has pairs of devices measure their links, one pair at a time, its own links first, and
/// nothing while it has a job: what is under way is given up when one comes. A pair is measured
/// when it is not known, when one of the two joined anew or has another address, and every kOld.
/// Owned by the control thread.
class LinkSurvey {
  public:
    /// Devices that have just come are busy, measuring themselves for one; so is one that has just
    /// computed.
    static constexpr std::chrono::milliseconds kSettle{5000}, kQuiet{2000};
    static constexpr std::chrono::minutes kOld{30};
    /// A pair that cannot be measured is tried again after the first pause, and each time after
    /// twice as long, up to the last.
    static constexpr std::chrono::seconds kFirstPause{30}, kLastPause{3600};
    /// No answer for longer: it failed.
    static constexpr std::chrono::milliseconds kPatience{10'000};

    using Pair = std::pair<mesh::DeviceId, mesh::DeviceId>;  ///< the lower id first
    /// A device that follows this root, or is it.
    struct Device {
        mesh::DeviceId id;
        std::array<std::uint8_t, 32> public_key{};
        std::string address;     ///< IP as seen by us; of this device empty
        std::uint32_t port = 0;  ///< where it measures; 0: it does not
    };
    /// The cluster at a moment.
    struct View {
        std::vector<Device> devices;  ///< this one first
        std::set<Pair> apart;         ///< without a connection
    };
    struct Links {
        mesh::DeviceId self;
        std::function<View()> view;
        std::function<bool()> idle;  ///< no jobs, no plan that is being loaded
        std::function<bool()> busy;  ///< this device computes, or measures itself
        std::function<std::string(const mesh::DeviceId&)> address;  ///< as seen by us
        std::function<void(const mesh::DeviceId&, const mesh::messages::PlanMessage&)> send;
        std::function<std::string()> date;  ///< UTC, now
        /// All that can be measured has been, and plans may be others by it.
        std::function<void()> complete;
        /// Keeps what this device measured as a root, for its next start.
        std::function<void(const KnownLinks&)> keep;
    };

    /// `tester` null: this device measures no links, nor has others do it. `kept`: of earlier
    /// starts. They are good for plans until they are measured again, soon after devices have met,
    /// as far as these have the addresses that they had.
    LinkSurvey(Loop& loop, LinkTester* tester, Links links, KnownLinks kept = {})
        : loop_(loop), tester_(tester), links_(std::move(links)), kept_(std::move(kept)) {}

    // The root's part.
    void become_root(mesh::Term term);
    void resign();
    void on_joined(const mesh::DeviceId& device);
    void on_lost(const mesh::DeviceId& device);
    /// A job has come.
    void disturb();
    void on_result(const mesh::DeviceId& from, const mesh::messages::LinkResult& result);
    const KnownLinks& known() const noexcept { return known_; }

    // A member's.
    void on_test(const mesh::DeviceId& from, const mesh::messages::LinkTest& test,
                 const mesh::Term& term);
    /// This device's part of a test goes on.
    bool testing() const noexcept { return own_test_.has_value(); }
    std::uint32_t port() const noexcept { return tester_ == nullptr ? 0 : tester_->port(); }

  private:
    struct Pause {
        Loop::Time until{};
        std::chrono::seconds length = kFirstPause;
    };
    struct Running {
        mesh::messages::PlanRef test;
        Device first, second;  // in rank order
        Loop::Time since;
    };

    void look_soon(Loop::Clock::duration wait);
    void look();
    std::optional<std::pair<Device, Device>> next() const;
    bool wanted(const Device& a, const Device& b, const std::set<Pair>& apart) const;
    void forget_other_addresses();
    void begin(const Device& first, const Device& second);
    void failed(const std::string& why);
    void give_up();

    Loop& loop_;
    LinkTester* const tester_;
    const Links links_;
    std::optional<mesh::Term> term_;  // while we are root
    std::uint32_t next_test_ = 1;     // a number is never used again
    KnownLinks kept_;                 // of all starts
    KnownLinks known_;                // with those kept that were not measured since
    std::map<mesh::DeviceId, Loop::Time> joined_;
    std::map<Pair, Pause> pauses_;
    std::optional<Running> running_;
    Loop::Time quiet_since_{};
    bool news_ = false;  // since links_.complete()
    Timer looking_;
    std::optional<mesh::messages::PlanRef> own_test_;  // that this device takes part in
};

}  // namespace shoal
