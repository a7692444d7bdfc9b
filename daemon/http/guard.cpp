#include "daemon/http/guard.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sodium.h>

#include <algorithm>

#include "mesh/wire/host_text.hpp"

namespace shoal::http {
namespace {

using mesh::wire::bracketed;

constexpr std::size_t kMaxPortDigits = 5;

char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

std::string lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), [](char c) { return lower(c); });
    return out;
}

/// The name of "name", "name:port", "[v6]" or "[v6]:port"; nothing when it is none of them.
std::optional<std::string_view> without_port(std::string_view host) {
    const std::size_t name_end = host.starts_with('[') ? host.find(']') + 1 : host.find(':');
    if (name_end == 0) return std::nullopt;  // No closing bracket, or nothing before the colon.
    if (name_end >= host.size()) return host;
    const std::string_view port = host.substr(name_end);
    const bool digits =
        std::all_of(port.begin() + 1, port.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (port[0] != ':' || !digits || port.size() > 1 + kMaxPortDigits) return std::nullopt;
    return host.substr(0, name_end);
}

}  // namespace

bool equal_caseless(std::string_view a, std::string_view b) noexcept {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return lower(x) == lower(y); });
}

std::optional<std::string_view> shown_key(std::optional<std::string_view> authorization,
                                          std::optional<std::string_view> api_key) noexcept {
    constexpr std::string_view kScheme = "Bearer ";
    if (authorization && equal_caseless(authorization->substr(0, kScheme.size()), kScheme)) {
        return authorization->substr(kScheme.size());
    }
    return api_key;
}

bool is_loopback(const std::string& address) {
    in_addr v4{};
    if (inet_pton(AF_INET, address.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
    in6_addr v6{};
    if (inet_pton(AF_INET6, address.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6) != 0;
    throw HttpError(
        fmt::format("http.listen \"{}\" is no IP address; give one as 127.0.0.1 or ::1", address));
}

Guard::Guard(const HttpOptions& options) {
    hosts_ = {"localhost", "127.0.0.1", "[::1]", lower(bracketed(options.listen))};
    for (const std::string& host : options.allowed_hosts) hosts_.push_back(lower(bracketed(host)));
    origins_ = options.allowed_origins;
    if (options.api_key.empty()) return;
    Hash hash{};
    crypto_generichash(hash.data(), hash.size(),
                       reinterpret_cast<const unsigned char*>(options.api_key.data()),
                       options.api_key.size(), nullptr, 0);
    key_hash_ = hash;
}

std::optional<ApiError> Guard::check_host(std::optional<std::string_view> host,
                                          std::string_view local) const {
    if (!host) return ApiError{400, "host_missing", "the request has no Host header", {}};
    const auto name = without_port(*host).value_or("");
    const auto matches = [&](std::string_view allowed) { return equal_caseless(allowed, name); };
    if (!name.empty() &&
        (std::any_of(hosts_.begin(), hosts_.end(), matches) || matches(bracketed(local)))) {
        return std::nullopt;
    }
    return ApiError{403,
                    "foreign_host",
                    fmt::format("the Host \"{}\" is not a name of this device; add it to "
                                "http.allowed_hosts if it is",
                                host->substr(0, kQuotedBytes)),
                    {}};
}

std::optional<ApiError> Guard::check_origin(std::optional<std::string_view> origin,
                                            std::string_view host) const {
    if (!origin || lists_origin(*origin)) return std::nullopt;
    for (const std::string_view scheme : {"http://", "https://"}) {
        if (origin->size() > scheme.size() &&
            equal_caseless(origin->substr(0, scheme.size()), scheme) &&
            equal_caseless(origin->substr(scheme.size()), host)) {
            return std::nullopt;
        }
    }
    return ApiError{
        403,
        "foreign_origin",
        fmt::format("web pages of \"{}\" may not use this API; http.allowed_origins lets them",
                    origin->substr(0, kQuotedBytes)),
        {}};
}

bool Guard::lists_origin(std::string_view origin) const noexcept {
    return std::any_of(origins_.begin(), origins_.end(),
                       [&](const std::string& allowed) { return equal_caseless(allowed, origin); });
}

std::optional<ApiError> Guard::check_key(std::optional<std::string_view> authorization,
                                         std::optional<std::string_view> api_key) const {
    if (!key_hash_) return std::nullopt;
    api_key = shown_key(authorization, api_key);
    if (!api_key) {
        return ApiError{401,
                        "api_key_missing",
                        "this API asks for a key: send the header Authorization: Bearer KEY",
                        {}};
    }
    const std::string_view key = *api_key;
    // The hashes are compared, so that the time tells nothing of the key's length either.
    Hash hash{};
    crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const unsigned char*>(key.data()),
                       key.size(), nullptr, 0);
    if (sodium_memcmp(hash.data(), key_hash_->data(), hash.size()) == 0) return std::nullopt;
    return ApiError{401, "api_key_wrong", "the API key is wrong", {}};
}

}  // namespace shoal::http
