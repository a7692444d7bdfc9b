// The HTTP API: a thin adaptor between HTTP clients and the Service. API.md describes it to users.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "daemon/http/exchange.hpp"
#include "daemon/http/options.hpp"
#include "daemon/requests/service.hpp"

namespace shoal::http {

/// Two threads: libmicrohttpd's, which no client can hold up (a slow one's answer is suspended),
/// and the watch over connections. The destructor cancels what runs and joins both; it must not
/// be called from the service's thread.
class HttpServer {
  public:
    /// Listens at once. Throws HttpError when that is not possible or not allowed: beyond
    /// loopback there must be an API key. `service` outlives the server. `figures` may be null.
    HttpServer(HttpOptions options, Service& service, Figures figures = nullptr);
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    /// Other names by which requests may call this device and other web pages that may send them:
    /// allowed_hosts and allowed_origins of the options, for what comes from now on. Thread-safe.
    void allow(std::vector<std::string> hosts, std::vector<std::string> origins);
    /// Another client_requests, likewise.
    void limit_clients(std::uint32_t requests);

    /// The port listened on, the one chosen if the options said 0.
    std::uint16_t port() const noexcept;

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::http
