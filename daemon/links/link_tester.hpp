// How this device measures a link of its own: a port of the core.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "daemon/links/link_measurement.hpp"
#include "mesh/exchange/exchange.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// Two devices that are to measure the link between them.
struct LinkTestSpec {
    mesh::PlanId id;                ///< of the exchange; no other has it
    std::uint32_t rank = 0;         ///< rank 0 has the figures
    std::vector<mesh::Peer> peers;  ///< two, in rank order, this device included
};

struct LinkTestOutcome {
    std::optional<LinkFigures> figures;  ///< on rank 0, unless there is an error
    std::string transport, cipher;
    std::string error;
};

/// For the control thread, on which what is given to it is called, later.
class LinkTester {
  public:
    virtual ~LinkTester() = default;

    /// Where other devices connect for that, TCP.
    virtual std::uint16_t port() const noexcept = 0;
    /// Measures, which takes some tenths of a second; one at a time, an earlier one is given up.
    virtual void test(LinkTestSpec spec, std::function<void(const LinkTestOutcome&)> done) = 0;
    /// Gives up what is under way; nothing is told of it.
    virtual void stop() noexcept = 0;
};

}  // namespace shoal
