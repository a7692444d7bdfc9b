// What requests need of the daemon around them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>

#include "daemon/engine/generation.hpp"
#include "daemon/pieces/open_model.hpp"
#include "daemon/plan/forecast.hpp"
#include "daemon/plan/plan_root.hpp"
#include "mesh/messages/requests.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// Who asked for something, and its number for that. The same request sent again is equal; what it
/// is told quotes the attempt.
struct Origin {
    mesh::DeviceId device;
    std::uint64_t id = 0;
    std::uint64_t attempt = 0;
    bool operator==(const Origin& other) const { return device == other.device && id == other.id; }
    auto operator<=>(const Origin& other) const {
        return std::tie(device, id) <=> std::tie(other.device, other.id);
    }
};

/// How long a request waits for what may still come: elections take about a second, a new file's
/// announcement travels with the next heartbeat.
struct RequestPatience {
    std::chrono::milliseconds root{30'000};    ///< for a root, or room on the way to a device
    std::chrono::milliseconds model{5'000};    ///< for a device that holds the model
    std::chrono::milliseconds joining{5'000};  ///< for holders, after an election or a loss
};

/// For the control thread, which is also the one that what is given to it as `done` is called on,
/// later and once.
class RequestPorts {
  public:
    virtual ~RequestPorts() = default;

    virtual mesh::DeviceId self() const = 0;
    /// To another device. False when it cannot be sent now; nothing of it is then. Throws
    /// std::length_error when a request is longer than a message may be.
    [[nodiscard]] virtual bool send_request(const mesh::DeviceId& to,
                                            const mesh::messages::RequestFrame& frame) = 0;
    [[nodiscard]] virtual bool send_event(const mesh::DeviceId& to,
                                          const mesh::messages::EventFrame& frame) = 0;

    /// Every model that some device holds.
    virtual mesh::messages::ModelsReply models() const = 0;
    virtual mesh::messages::StatusReply status() const = 0;
    /// Makes the root's status this device's: who is "self", and its own round trips.
    virtual void localise(mesh::messages::StatusReply& status) const = 0;

    /// This device has the model's file.
    virtual bool holds(const mesh::ModelHash& hash) const = 0;
    /// When files that were put into this device's folders of models are known; see Models::settle.
    virtual void settle(std::function<void()> done) = 0;
    /// Takes a file of this device, wherever it lies, among those that it announces: its hash, or
    /// why it is no usable model.
    using Added = std::function<void(const mesh::ModelHash& hash, const std::string& error)>;
    virtual void add(const std::string& path, Added done) = 0;
    /// Gets a model's description, perhaps its vocabulary, from another device if need be.
    using Opened = std::function<void(std::shared_ptr<const OpenModel>, const std::string& error)>;
    enum class Reading { description, vocabulary };
    virtual void open(const KnownModel& model, Reading reading, Opened done) = 0;
    /// What plans of a model for the devices at hand would do, as they are now. May be called by
    /// any thread, and takes long where devices are many.
    virtual Forecast forecast(const mesh::ModelHash& model) const = 0;

    /// A job for the plan, whose events then come; as in PlanRoot.
    [[nodiscard]] virtual bool submit(Job job, const KnownModel& model, bool load_only) = 0;
    virtual void cancel(JobId job) = 0;
    /// As in PlanRoot.
    virtual void keep(const mesh::ModelHash& model, std::int32_t seconds) = 0;
    /// How long one that is submitted now would wait; nothing: that is not known.
    virtual std::optional<Clock::duration> expected_wait() const = 0;

    /// Measures this device, or says what it measured: progress, then one final event, perhaps
    /// before this returns.
    using Told = std::function<void(const mesh::messages::Event&)>;
    virtual void bench(const mesh::messages::BenchRequest& request, Told told) = 0;
    /// What bench() began and has not ended is not wanted any more.
    virtual void stop_bench() = 0;

    /// As ClusterAdmin has them.
    virtual void administer(const mesh::messages::Request& request, Told told) = 0;
    virtual void stop_joining() = 0;
};

}  // namespace shoal
