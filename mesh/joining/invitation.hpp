// The line of text by which one device lets another one into its cluster (mesh/PROTOCOL.md, First
// contact).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/wire/identity.hpp"

namespace shoal::mesh::joining {

/// Random; whoever proves that he knows it is let in, once.
using Secret = std::array<std::uint8_t, 16>;

inline constexpr std::size_t kMaxAddresses = 4;

struct Invitation {
    std::vector<std::string> addresses;  ///< numeric, IPv4 or IPv6; 1 to kMaxAddresses
    std::uint16_t port = 0;              ///< TCP
    PublicKey inviter{};
    Secret secret{};

    bool operator==(const Invitation&) const = default;
};

/// The line. Requires: addresses and port as said above; those that are not numeric are left out.
std::string text_of(const Invitation& invitation);

/// Reads a line as text_of() makes them, as people copy it: either case, with spaces around.
/// Nothing when it is none or was changed on its way; `why` says which, for a person.
std::optional<Invitation> parse_invitation(std::string_view text, std::string& why);

}  // namespace shoal::mesh::joining
