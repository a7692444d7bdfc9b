#include "daemon/core/measuring.hpp"

#include <utility>

#include "daemon/log/log.hpp"

namespace shoal {

using mesh::messages::BenchReply;
using mesh::messages::BenchRequest;
using mesh::messages::ErrorCode;
using mesh::messages::Event;
using mesh::messages::Failed;
using mesh::messages::ProfileOrigin;

namespace {

// Steps of a generation are not further apart than this.
constexpr auto kListen = std::chrono::milliseconds(300);
// What could not be measured for a generation is tried again after this time.
constexpr auto kAgain = std::chrono::minutes(1);

Failed busy_failure() {
    return {ErrorCode::busy,
            "a generation runs on this device, which measuring would slow down and be slowed down "
            "by; try again when it is over"};
}

}  // namespace

void Measuring::start() {
    again_.reset();
    if (device_ != nullptr) links_.settle([this] { begin_unless_known(); });
}

void Measuring::begin_unless_known() {
    if (!running_ && device_->report().origin == ProfileOrigin::guessed) begin({});
}

void Measuring::ask(const BenchRequest& request, Told told) {
    if (device_ == nullptr) {
        return told(Failed{ErrorCode::unavailable, "this device does not measure itself"});
    }
    const BenchReply known = device_->report();
    if (request.show) return told(known);
    if (known.origin == ProfileOrigin::given) {
        return told(Failed{ErrorCode::bad_request,
                           "device.speed_bytes is set, so this device is taken to be as fast as "
                           "that says; remove the setting to have it measured"});
    }
    if (running_ && told_) {
        return told(Failed{ErrorCode::busy,
                           "this device is being measured for another client; try again in some "
                           "seconds"});
    }
    if (!running_) return begin(std::move(told));
    if (disturbed_ || stop_.stop_requested()) {
        return told(
            Failed{ErrorCode::busy, "a measurement is just being given up; try again in a second"});
    }
    // As new as another one would be.
    told_ = std::move(told);
}

void Measuring::cancel() {
    told_ = nullptr;
    stop_.request_stop();
    if (!listening_) return;
    listening_.reset();
    end(Failed{ErrorCode::cancelled, "cancelled"});
}

mesh::messages::DeviceProfile Measuring::profile() const {
    return device_ == nullptr ? mesh::messages::DeviceProfile{} : device_->announced();
}

bool Measuring::busy() const {
    return links_.jobs() != 0 || links_.steps() != steps_;
}

void Measuring::begin(Told told) {
    again_.reset();
    running_ = true;
    disturbed_ = false;
    told_ = std::move(told);
    steps_ = links_.steps();
    if (busy()) return end(busy_failure());
    listening_ = loop_.after(
        kListen,
        [this] {
            listening_.reset();
            busy() ? end(busy_failure()) : measure();
        },
        "a measurement to begin");
}

void Measuring::measure() {
    stop_ = device_->measure(
        [this](unsigned done, unsigned total) { progressed(done, total); },
        [this](const auto& profile, const std::string& error) { measured(profile, error); });
}

void Measuring::progressed(unsigned done, unsigned total) {
    if (busy()) {
        disturbed_ = true;
        stop_.request_stop();
    } else if (told_) {
        told_(mesh::messages::Progress{"measuring this device", done, total});
    }
}

void Measuring::measured(const std::optional<SelfMeasurement::Profile>& profile,
                         const std::string& error) {
    stop_ = std::stop_source(std::nostopstate);
    if (disturbed_ || busy()) return end(busy_failure());
    if (!profile) {
        if (error.empty()) return end(Failed{ErrorCode::cancelled, "cancelled"});
        log::warn("this device was not measured, and its profile is as before: {}", error);
        return end(Failed{ErrorCode::internal, "this device was not measured: " + error});
    }
    device_->adopt(*profile, [this] {
        const BenchReply reply = device_->report();
        if (!reply.not_stored.empty()) {
            log::warn("what was measured of this device is lost when the daemon ends: {}",
                      reply.not_stored);
        }
        links_.changed();
        end(reply);
    });
}

void Measuring::end(const Event& event) {
    running_ = false;
    const Told told = std::exchange(told_, nullptr);
    const auto* failed = std::get_if<Failed>(&event);
    // Out of memory it would be again.
    if (failed != nullptr && failed->code != ErrorCode::internal) {
        again_ = loop_.after(
            kAgain, [this] { start(); }, "a measurement to try again");
    }
    if (told) told(event);
}

}  // namespace shoal
