// The cluster as one of its devices sees it: who is there, who leads, and messages between members.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mesh/messages/warning.hpp"
#include "mesh/wire/description.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal::mesh {

struct Member {
    DeviceId id;
    std::array<std::uint8_t, 32> public_key{};
    DeviceDescription description;
    std::string address;  ///< IP as seen by us
    std::chrono::microseconds round_trip{-1};
    /// The term that it adopted, as of its latest heartbeat; {0, {}} while it has no root.
    /// A root serves the members whose term is its own.
    Term term;
    bool suspect = false;  ///< silent for a while; a member still
};

/// Owned by one thread. What happens in the cluster is told as Node::Callbacks says.
class Mesh {
  public:
    virtual ~Mesh() = default;

    virtual const DeviceId& self() const noexcept = 0;
    virtual std::optional<DeviceId> root() const noexcept = 0;
    virtual Term term() const noexcept = 0;
    /// Everyone alive, ourselves first.
    virtual std::vector<Member> members() const = 0;
    /// False when there is no such member, its queue is full (about 4 large or 256 small messages
    /// are on their way; try again a little later) or the message is longer than
    /// wire::kMaxApplicationBytes.
    [[nodiscard]] virtual bool send(const DeviceId& to, std::span<const std::byte> bytes) = 0;
    /// Change what we say of ourselves; travels with the next heartbeat, at once when it matters.
    virtual void describe(DeviceDescription self) = 0;
    /// What is wrong around this device: it changes as time goes by.
    virtual std::vector<messages::Warning> warnings() const = 0;
};

}  // namespace shoal::mesh
