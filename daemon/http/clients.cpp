#include "daemon/http/clients.hpp"

#include <fmt/format.h>
#include <sodium.h>

#include <array>
#include <cmath>
#include <cstring>

#include "daemon/http/guard.hpp"
#include "daemon/http/random_ids.hpp"

namespace shoal::http {
namespace {

/// Weight of the newest request in how long they take.
constexpr double kNewest = 0.25;

}  // namespace

Clients::Clients(std::uint32_t limit) : limit_(limit), salt_(random_id("")) {}

Clients::Id Clients::id_of(const std::string& address, std::string_view key) const {
    // Which of two lines ends where the other begins is certain: an address has no line feed.
    std::string text = address + '\n';
    text += key;
    const bool own = address.empty() || is_loopback(address);
    std::array<unsigned char, crypto_generichash_BYTES_MIN> hash{};
    crypto_generichash(
        hash.data(), hash.size(), reinterpret_cast<const unsigned char*>(text.data()), text.size(),
        reinterpret_cast<const unsigned char*>(salt_.data()), own ? salt_.size() : 0);
    Id id = 0;
    std::memcpy(&id, hash.data(), sizeof id);
    return id | 1;  // 0 is nobody in particular.
}

std::optional<ApiError> Clients::enter(Id client) {
    const std::uint32_t limit = limit_;
    std::uint32_t& running = running_[client];
    if (limit == 0 || running < limit) return ++running, std::nullopt;
    return ApiError{429,
                    "rate_limit_exceeded",
                    fmt::format("this client has {} requests running or waiting, as many as it may "
                                "(http.client_requests); wait until one is over",
                                limit),
                    {},
                    static_cast<std::uint32_t>(std::ceil(seconds_ / limit))};
}

void Clients::leave(Id client, std::chrono::steady_clock::duration took) {
    const auto it = running_.find(client);
    if (it != running_.end() && --it->second == 0) running_.erase(it);
    const double seconds = std::chrono::duration<double>(took).count();
    seconds_ += (seconds_ == 0 ? 1 : kNewest) * (seconds - seconds_);
}

}  // namespace shoal::http
