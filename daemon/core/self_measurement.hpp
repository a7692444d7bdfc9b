// How this device comes to know what it does in a second: a port of the core.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "mesh/messages/requests.hpp"

namespace shoal {

/// For the control thread, on which what is given to it is called, later.
class SelfMeasurement {
  public:
    using Profile = mesh::messages::DeviceProfile;
    using Progress = std::function<void(unsigned done, unsigned total)>;
    /// No profile: it was stopped, or failed as the text says.
    using Measured =
        std::function<void(const std::optional<Profile>& profile, const std::string& error)>;

    virtual ~SelfMeasurement() = default;

    /// What is known now.
    virtual mesh::messages::BenchReply report() const = 0;
    /// What others are told of it, which may be less for a while.
    virtual Profile announced() const { return report().profile; }
    /// Measures, which takes some seconds on all compute threads; one at a time. Changes nothing of
    /// what is known.
    virtual std::stop_source measure(Progress progress, Measured done) = 0;
    /// This is known from now on; `stored`: and kept, as far as that went well (report()).
    virtual void adopt(const Profile& profile, std::function<void()> stored) = 0;
};

}  // namespace shoal
