// A device that was invited asks to be let in.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "mesh/joining/invitation.hpp"
#include "mesh/joining/join_frames.hpp"

namespace shoal::mesh {
class ZmqContext;
}

namespace shoal::mesh::joining {

/// Calls all addresses of an invitation at once; the first answer counts. Owned by one thread.
class JoinCall {
  public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::seconds kPatience{15};
    static constexpr std::chrono::seconds kAskAgain{1};  ///< whom was told to be too many

    /// `name`: this device's, for people.
    JoinCall(ZmqContext& context, const Invitation& invitation, std::string name, Time now);
    ~JoinCall();
    JoinCall(const JoinCall&) = delete;
    JoinCall& operator=(const JoinCall&) = delete;

    std::vector<int> descriptors() const;
    Time next_deadline() const noexcept;

    struct Nobody {};  ///< no answer came in time
    using Outcome = std::variant<std::monostate, Welcome, Refusal, Nobody>;
    /// Does what is due. std::monostate: it is not over yet; after anything else it is.
    Outcome poll(Time now);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::mesh::joining
