// Who may ask: the Host and Origin headers, and the API key.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/http/api_error.hpp"
#include "daemon/http/options.hpp"

namespace shoal::http {

/// Immutable, hence thread-safe.
class Guard {
  public:
    explicit Guard(const HttpOptions& options);

    /// A web page whose own name an attacker points to this device (DNS rebinding) sends that
    /// name as the Host. `local` is the address that the connection came to; a browser sends an
    /// address only when the user asked for it.
    std::optional<ApiError> check_host(std::optional<std::string_view> host,
                                       std::string_view local) const;
    /// A browser adds the Origin of the page that sends a request; only our own may, and those of
    /// the settings.
    std::optional<ApiError> check_origin(std::optional<std::string_view> origin,
                                         std::string_view host) const;
    /// Whether the settings name this origin. Its pages are told so (CORS), or the browser would
    /// keep the answers from them.
    bool lists_origin(std::string_view origin) const noexcept;
    /// "Bearer KEY" in constant time, when a key is set.
    /// `authorization` and `api_key`: the headers Authorization and, as Anthropic's clients have
    /// it, X-Api-Key.
    std::optional<ApiError> check_key(std::optional<std::string_view> authorization,
                                      std::optional<std::string_view> api_key = {}) const;

  private:
    using Hash = std::array<unsigned char, 32>;

    std::vector<std::string> hosts_;  ///< lower case, IPv6 addresses in brackets
    std::vector<std::string> origins_;
    std::optional<Hash> key_hash_;
};

/// The key that a request shows, in either header; see Guard::check_key.
std::optional<std::string_view> shown_key(std::optional<std::string_view> authorization,
                                          std::optional<std::string_view> api_key) noexcept;

/// Without regard to the case of ASCII letters.
bool equal_caseless(std::string_view a, std::string_view b) noexcept;

/// True for 127.0.0.0/8 and ::1. Throws HttpError when `address` is no IP address.
bool is_loopback(const std::string& address);

}  // namespace shoal::http
