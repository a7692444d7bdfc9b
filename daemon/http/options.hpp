// What the HTTP API can be told, and every limit that it holds to.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace shoal::http {

/// The server cannot start as it was told to; the text says why and which setting to change.
class HttpError : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct HttpOptions {
    std::string listen = "127.0.0.1";  ///< an IP address; beyond loopback only with an api_key
    std::uint16_t port = 8090;         ///< 0: any free one
    std::string api_key;               ///< empty: none is asked for
    std::vector<std::string> allowed_hosts;    ///< names beside localhost and the listen address
    std::vector<std::string> allowed_origins;  ///< web pages that may use the API: "https://a.b"

    std::uint32_t max_connections = 256;  ///< later ones wait in the system's queue
    /// Later ones are closed. 0: no other limit than max_connections when listening on loopback,
    /// where everybody has one address, else half of max_connections.
    std::uint32_t max_connections_per_ip = 0;

    /// Requests for answers that a client may have here at a time, running or waiting; 0: any
    /// number.
    std::uint32_t client_requests = 0;

    std::size_t max_header_bytes = 16u << 10;       ///< request line and headers; about, see API.md
    std::size_t max_body_bytes = 8u << 20;          ///< of one request
    std::size_t max_body_bytes_in_all = 64u << 20;  ///< of all requests being received
    std::size_t max_stream_buffer_bytes = 256u << 10;  ///< text that a slow client has not read
    std::size_t max_answer_bytes = 16u << 20;          ///< of an answer that is not streamed
    std::size_t max_kept_bytes = 32u << 20;            ///< of answers that later requests refer to
    int socket_send_buffer_bytes = 128 << 10;          ///< kernel memory for a slow client

    /// From connecting to the last header.
    std::chrono::milliseconds header_timeout{10'000};
    /// From the last header to the end of the body.
    std::chrono::milliseconds body_timeout{60'000};
    /// A kept connection's wait for its next request, and an answer's for the client to read.
    std::chrono::milliseconds idle_timeout{60'000};
    /// For the service to answer what is not a generation.
    std::chrono::milliseconds answer_timeout{30'000};
    /// For later requests to refer to an answer.
    std::chrono::minutes kept_time{120};
    /// From the end of the generation until the client has read everything.
    std::chrono::milliseconds drain_timeout{120'000};
};

}  // namespace shoal::http
