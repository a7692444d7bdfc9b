// Who asks: what is shared is shared among clients, and a client may have only so much running.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/http/api_error.hpp"

namespace shoal::http {

/// Owned by the HTTP thread, but for set_limit().
class Clients {
  public:
    using Id = std::uint64_t;

    /// `limit`: requests of a client that may run at a time; 0: any number.
    explicit Clients(std::uint32_t limit);
    /// From the next request on; those that run stay. By any thread.
    void set_limit(std::uint32_t limit) noexcept { limit_ = limit; }

    /// Whoever comes from that address and shows that key (empty: none): a hash of both. Other
    /// devices say the same, but of what comes from the device itself.
    Id id_of(const std::string& address, std::string_view key) const;

    /// A request for an answer begins; or why it may not, as the client has as many as it may.
    [[nodiscard]] std::optional<ApiError> enter(Id client);
    /// One that has entered is over.
    void leave(Id client, std::chrono::steady_clock::duration took);

  private:
    std::atomic<std::uint32_t> limit_;
    const std::string salt_;  // of this device alone
    std::map<Id, std::uint32_t> running_;
    double seconds_ = 0;  // that requests take; 0: none has ended
};

}  // namespace shoal::http
