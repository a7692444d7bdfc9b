// One request as it comes in: its headers are judged, its body is collected.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/http/endpoints.hpp"
#include "daemon/http/guard.hpp"
#include "daemon/http/options.hpp"
#include "daemon/http/reply.hpp"

namespace shoal::http {

/// The headers that we look at, and how often those came that may come only once.
struct Headers {
    std::optional<std::string_view> host, origin, authorization, api_key, content_type,
        content_length, content_encoding, transfer_encoding, expect, request_method, accept;
    int hosts = 0, content_lengths = 0, transfer_encodings = 0;

    void add(std::string_view name, std::string_view value);
};

/// A refusal with the headers that go with it.
struct Rejection {
    ApiError error;
    std::string allow;
    bool close = false;  ///< where the next request begins is not certain
};

/// Owned by the HTTP thread.
struct Incoming {
    const Endpoint* endpoint = nullptr;  ///< null only with a rejection
    std::string name;                    ///< what the path names, if anything
    std::string accept;                  ///< the header
    const Dialect* dialect = nullptr;    ///< in which errors are told
    std::string origin;  ///< of a page that the settings let in, which the answer names
    /// A browser asks whether such a page may send the request that it wants to.
    bool preflight = false;
    std::optional<Rejection> rejection;
    /// The rejection is sent before the body has come: it is too long, or held back by Expect.
    bool reject_now = false;
    std::string body;
    std::size_t discarded_bytes = 0;
    std::shared_ptr<Reply> reply;
    std::uint64_t client = 0;  ///< who asks, by Clients
    /// When it entered among what its client has running.
    std::optional<Reply::Clock::time_point> entered;

    bool takes_body() const noexcept {
        return !rejection && !preflight && endpoint->method == Method::post;
    }
};

/// Everything that can be said of a request before its body comes. `local` is the address that
/// the connection came to.
Incoming judge(const Guard& guard, const HttpOptions& options, std::string_view method,
               std::string_view path, const Headers& headers, std::string_view local);

}  // namespace shoal::http
