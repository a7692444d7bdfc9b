// When this device measures itself: when a client asks, and when it does not know itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>

#include "daemon/core/self_measurement.hpp"
#include "daemon/loop/loop.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal {

/// Never beside a generation, as both would be slower for it: a measurement does not begin while
/// steps are computed, and is dropped when some were computed meanwhile; by itself it does not
/// begin either while files are read that are new here. Owned by the control thread.
class Measuring {
  public:
    using Told = std::function<void(const mesh::messages::Event&)>;
    struct Links {
        std::function<std::size_t()> jobs;     ///< that this device has as the root
        std::function<std::uint64_t()> steps;  ///< computed for plans of several devices
        std::function<void()> changed;         ///< what is known of this device
        /// Calls back, later, when no file of a model is read for its hash any more.
        std::function<void(std::function<void()>)> settle;
    };

    /// `device` null: nothing is ever measured.
    Measuring(Loop& loop, SelfMeasurement* device, Links links)
        : loop_(loop), device_(device), links_(std::move(links)) {}

    /// Measures what is not known, without hurry.
    void start();
    /// Answers a client: progress, then one final event, perhaps at once.
    void ask(const mesh::messages::BenchRequest& request, Told told);
    /// The client that was told of progress last wants nothing more.
    void cancel();

    /// A measurement goes on, or is about to begin.
    bool running() const noexcept { return running_; }
    /// All zeros when nothing is known.
    mesh::messages::DeviceProfile profile() const;

  private:
    bool busy() const;
    void begin(Told told);
    void begin_unless_known();
    void measure();
    void progressed(unsigned done, unsigned total);
    void measured(const std::optional<SelfMeasurement::Profile>& profile, const std::string& error);
    void end(const mesh::messages::Event& event);

    Loop& loop_;
    SelfMeasurement* const device_;
    const Links links_;
    bool running_ = false;
    bool disturbed_ = false;  // by a generation
    std::uint64_t steps_ = 0;
    Told told_;  // null: nobody waits
    std::stop_source stop_{std::nostopstate};
    Timer listening_, again_;
};

}  // namespace shoal
