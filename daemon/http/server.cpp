#include "daemon/http/server.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <sodium.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "daemon/http/clients.hpp"
#include "daemon/http/connections.hpp"
#include "daemon/http/guard.hpp"
#include "daemon/http/incoming.hpp"
#include "daemon/http/kept_texts.hpp"
#include "daemon/http/listener.hpp"
#include "daemon/http/reply.hpp"

namespace shoal::http {
namespace {

/// libmicrohttpd reads at most this much of a stream at once when it does not send chunks.
constexpr std::size_t kStreamBlockBytes = 16u << 10;
/// Of the page: it loads its own files and asks this device, and runs nothing that stands in it.
constexpr char kPagePolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// How long a browser may remember what it may send.
constexpr char kPreflightSeconds[] = "600";

/// Deletes itself with the response that reads from it.
struct StreamReader {
    std::shared_ptr<Reply> reply;
    MHD_Connection* connection;
};

ssize_t read_stream(void* cls, std::uint64_t, char* out, std::size_t capacity) {
    auto* reader = static_cast<StreamReader*>(cls);
    std::size_t size = 0;
    switch (reader->reply->read(reader->connection, out, capacity, size)) {
        case Reply::Read::some:
            return static_cast<ssize_t>(size);
        case Reply::Read::parked:
            return 0;
        case Reply::Read::end:
            return MHD_CONTENT_READER_END_OF_STREAM;
        case Reply::Read::broken:
            break;
    }
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

/// Owns a response until libmicrohttpd has it.
struct ResponseDeleter {
    void operator()(MHD_Response* response) const noexcept { MHD_destroy_response(response); }
};
using Response = std::unique_ptr<MHD_Response, ResponseDeleter>;

Response text_response(std::string text) {
    auto* owned = new std::string(std::move(text));
    MHD_Response* response = MHD_create_response_from_buffer_with_free_callback_cls(
        owned->size(), owned->data(), [](void* cls) { delete static_cast<std::string*>(cls); },
        owned);
    if (response == nullptr) delete owned;
    return Response(response);
}

void add_header(const Response& response, const char* name, const char* value) {
    (void)MHD_add_response_header(response.get(), name, value);
}

/// Lets a page of `origin` read the answer. Caches must not give it to pages of others.
void let_read(const Response& response, const std::string& origin) {
    if (origin.empty()) return;
    add_header(response, "Access-Control-Allow-Origin", origin.c_str());
    add_header(response, "Vary", "Origin");
}

MHD_Result queue(MHD_Connection* connection, const Answer& answer, const std::string& origin,
                 const std::string& allow = {}, bool close = false) {
    const Response response = text_response(answer.body);
    if (!response) return MHD_NO;
    add_header(response, "Content-Type", answer.content_type);
    add_header(response, "Cache-Control", "no-store");
    add_header(response, "X-Content-Type-Options", "nosniff");
    let_read(response, origin);
    if (!allow.empty()) add_header(response, "Allow", allow.c_str());
    if (answer.page) {
        add_header(response, "Content-Security-Policy", kPagePolicy);
        add_header(response, "Referrer-Policy", "no-referrer");
        add_header(response, "Cross-Origin-Opener-Policy", "same-origin");
    }
    if (answer.status == 401) add_header(response, "WWW-Authenticate", "Bearer");
    if (answer.retry_after != 0) {
        add_header(response, "Retry-After", std::to_string(answer.retry_after).c_str());
    }
    if (close) add_header(response, "Connection", "close");
    return MHD_queue_response(connection, answer.status, response.get());
}

/// "Yes, with these methods and headers"
MHD_Result queue_preflight(MHD_Connection* connection, const std::string& origin) {
    const Response response = text_response({});
    if (!response) return MHD_NO;
    let_read(response, origin);
    add_header(response, "Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE");
    add_header(response, "Access-Control-Allow-Headers", "Authorization, Content-Type, *");
    add_header(response, "Access-Control-Max-Age", kPreflightSeconds);
    return MHD_queue_response(connection, MHD_HTTP_NO_CONTENT, response.get());
}

MHD_Result queue_stream(MHD_Connection* connection, std::shared_ptr<Reply> reply,
                        const std::string& origin) {
    const char* type = reply->stream_type();
    auto* reader = new StreamReader{std::move(reply), connection};
    const Response response(MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, kStreamBlockBytes, read_stream, reader,
        [](void* cls) { delete static_cast<StreamReader*>(cls); }));
    if (!response) {
        delete reader;
        return MHD_NO;
    }
    add_header(response, "Content-Type", type);
    add_header(response, "Cache-Control", "no-store");
    add_header(response, "X-Content-Type-Options", "nosniff");
    let_read(response, origin);
    add_header(response, "X-Accel-Buffering", "no");  // A proxy before us should not hold it up.
    return MHD_queue_response(connection, MHD_HTTP_OK, response.get());
}

int socket_of(MHD_Connection* connection) {
    const auto* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info == nullptr ? -1 : info->connect_fd;
}

/// Answers are made for it, and it ends by itself.
bool is_counted(const Exchange& exchange) noexcept {
    return exchange.generates() && exchange.repeats() == std::chrono::milliseconds(0);
}

Headers headers_of(MHD_Connection* connection) {
    Headers headers;
    MHD_get_connection_values(
        connection, MHD_HEADER_KIND,
        [](void* cls, MHD_ValueKind, const char* name, const char* value) {
            static_cast<Headers*>(cls)->add(name, value == nullptr ? "" : value);
            return MHD_YES;
        },
        &headers);
    return headers;
}

}  // namespace

class HttpServer::Impl {
  public:
    Impl(HttpOptions options, Service& service, Figures figures)
        : options_(std::move(options)),
          service_(service),
          figures_(std::move(figures)),
          guard_(std::make_shared<const Guard>(options_)),
          clients_(options_.client_requests),
          listener_(options_),
          connections_(options_) {
        start();
    }

    ~Impl() {
        // libmicrohttpd may not be stopped while it has suspended connections; after this there
        // are none and there will be none.
        connections_.stop();
        MHD_stop_daemon(daemon_);
    }

    std::uint16_t port() const noexcept { return listener_.port(); }

    void allow(std::vector<std::string> hosts, std::vector<std::string> origins) {
        HttpOptions options = options_;
        options.allowed_hosts = std::move(hosts);
        options.allowed_origins = std::move(origins);
        auto guard = std::make_shared<const Guard>(options);
        const std::lock_guard lock(guard_mutex_);
        guard_ = std::move(guard);
    }
    void limit_clients(std::uint32_t requests) noexcept { clients_.set_limit(requests); }

  private:
    std::shared_ptr<const Guard> guard() const {
        const std::lock_guard lock(guard_mutex_);
        return guard_;
    }
    void start();
    MHD_Result handle(MHD_Connection* connection, const char* path, const char* method,
                      const char* data, std::size_t* size, void** state);
    MHD_Result begin(MHD_Connection* connection, const char* path, const char* method,
                     void** state);
    MHD_Result receive(MHD_Connection* connection, Incoming& in, std::string_view data);
    MHD_Result respond(MHD_Connection* connection, Incoming& in);
    MHD_Result reject(MHD_Connection* connection, Incoming& in);
    void completed(MHD_Connection* connection, void** state) noexcept;
    static Connections::Id id_of(MHD_Connection* connection);

    const HttpOptions options_;
    Service& service_;
    const Figures figures_;
    mutable std::mutex guard_mutex_;
    std::shared_ptr<const Guard> guard_;  ///< guarded by guard_mutex_
    const std::shared_ptr<KeptTexts> kept_ =
        std::make_shared<KeptTexts>(options_.max_kept_bytes, options_.kept_time);
    Clients clients_;
    Listener listener_;
    Connections connections_;
    std::size_t body_bytes_ = 0;  ///< of all bodies being received; the HTTP thread's
    MHD_Daemon* daemon_ = nullptr;
};

void HttpServer::Impl::start() {
    using namespace std::chrono;
    const bool loopback = is_loopback(options_.listen);
    const unsigned total = std::max(options_.max_connections, 1U);
    unsigned per_ip = options_.max_connections_per_ip;
    if (per_ip == 0) per_ip = loopback ? total : std::max(total / 2, 1U);
    const auto idle = static_cast<unsigned>(ceil<seconds>(options_.idle_timeout).count());
    // Half of a connection's memory is for reading until it is known how much the headers need.
    const std::size_t memory = 2 * options_.max_header_bytes;
    const MHD_AccessHandlerCallback handler =
        [](void* cls, MHD_Connection* connection, const char* path, const char* method, const char*,
           const char* data, std::size_t* size, void** state) -> MHD_Result {
        return static_cast<Impl*>(cls)->handle(connection, path, method, data, size, state);
    };
    const MHD_RequestCompletedCallback finished = [](void* cls, MHD_Connection* connection,
                                                     void** state, MHD_RequestTerminationCode) {
        static_cast<Impl*>(cls)->completed(connection, state);
    };
    const MHD_NotifyConnectionCallback notify = [](void* cls, MHD_Connection* connection,
                                                   void** context,
                                                   MHD_ConnectionNotificationCode code) {
        Connections& connections = static_cast<Impl*>(cls)->connections_;
        if (code == MHD_CONNECTION_NOTIFY_STARTED) {
            *context = reinterpret_cast<void*>(connections.opened(socket_of(connection)));
        } else {
            connections.closed(reinterpret_cast<Connections::Id>(*context));
        }
    };
    daemon_ = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, nullptr, nullptr, handler,
        this, MHD_OPTION_LISTEN_SOCKET, listener_.socket(), MHD_OPTION_CONNECTION_LIMIT, total,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, per_ip, MHD_OPTION_CONNECTION_TIMEOUT, idle,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, memory, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_NOTIFY_COMPLETED, finished, this, MHD_OPTION_NOTIFY_CONNECTION, notify, this,
        MHD_OPTION_END);
    if (daemon_ == nullptr) {
        throw HttpError(fmt::format("cannot serve HTTP on {}: {}", options_.listen,
                                    std::generic_category().message(errno)));
    }
    listener_.release();  // libmicrohttpd closes it.
}

Connections::Id HttpServer::Impl::id_of(MHD_Connection* connection) {
    const auto* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info == nullptr ? 0 : reinterpret_cast<Connections::Id>(info->socket_context);
}

MHD_Result HttpServer::Impl::handle(MHD_Connection* connection, const char* path,
                                    const char* method, const char* data, std::size_t* size,
                                    void** state) {
    try {
        if (*state == nullptr) return begin(connection, path, method, state);
        Incoming& in = *static_cast<Incoming*>(*state);
        if (*size != 0) {
            const std::string_view received(data, std::exchange(*size, 0));
            return receive(connection, in, received);
        }
        return in.rejection ? reject(connection, in) : respond(connection, in);
    } catch (const std::exception&) {
        return MHD_NO;  // Out of memory; the connection is closed.
    }
}

MHD_Result HttpServer::Impl::begin(MHD_Connection* connection, const char* path, const char* method,
                                   void** state) {
    connections_.headers_came(id_of(connection));
    const Headers headers = headers_of(connection);
    const int socket = socket_of(connection);
    auto in = std::make_unique<Incoming>(
        judge(*guard(), options_, method, path, headers, local_address(socket)));
    Incoming& incoming = *in;
    incoming.client = clients_.id_of(
        peer_address(socket), shown_key(headers.authorization, headers.api_key).value_or(""));
    *state = in.release();  // completed() deletes it.
    return incoming.reject_now ? reject(connection, incoming) : MHD_YES;
}

MHD_Result HttpServer::Impl::receive(MHD_Connection* connection, Incoming& in,
                                     std::string_view data) {
    // Only a chunked body can turn out too long here, and there is no way to answer through
    // libmicrohttpd before its end.
    const auto refuse = [&](unsigned status, const char* reason) {
        connections_.refuse(id_of(connection), status, reason);
        return MHD_NO;
    };
    const std::size_t size = in.body.size() + in.discarded_bytes + data.size();
    if (size > options_.max_body_bytes) return refuse(413, "Content Too Large");
    if (!in.takes_body()) {
        in.discarded_bytes += data.size();
        return MHD_YES;
    }
    if (body_bytes_ + data.size() > options_.max_body_bytes_in_all) {
        return refuse(503, "Service Unavailable");
    }
    in.body.append(data);
    body_bytes_ += data.size();
    return MHD_YES;
}

MHD_Result HttpServer::Impl::reject(MHD_Connection* connection, Incoming& in) {
    if (!connections_.answering(id_of(connection), nullptr)) return MHD_NO;
    return queue(connection, in.dialect->refusal(in.rejection->error), in.origin,
                 in.rejection->allow, in.rejection->close);
}

MHD_Result HttpServer::Impl::respond(MHD_Connection* connection, Incoming& in) {
    const Connections::Id id = id_of(connection);
    if (in.preflight) {
        if (!connections_.answering(id, nullptr)) return MHD_NO;
        return queue_preflight(connection, in.origin);
    }
    if (!in.reply) {
        Understood understood =
            in.endpoint->understand({in.body, in.name, kept_, in.accept, figures_});
        body_bytes_ -= in.body.size();
        std::string().swap(in.body);
        if (const auto* exchange = std::get_if<0>(&understood);
            exchange && is_counted(**exchange)) {
            if (auto error = clients_.enter(in.client)) {
                understood = *std::move(error);
            } else {
                in.entered = Reply::Clock::now();
            }
        }
        if (auto* error = std::get_if<ApiError>(&understood)) {
            if (!connections_.answering(id, nullptr)) return MHD_NO;
            return queue(connection, in.dialect->refusal(*error), in.origin);
        }
        in.reply = std::make_shared<Reply>(
            std::get<0>(std::move(understood)), in.client, options_, service_,
            [this](std::shared_ptr<Reply> reply) { connections_.cancel_later(std::move(reply)); });
        if (!connections_.answering(id, in.reply)) return MHD_NO;
        in.reply->start();
    }
    switch (in.reply->step(connection)) {
        case Reply::Step::parked:
            return MHD_YES;
        case Reply::Step::drop:
            return MHD_NO;
        case Reply::Step::respond:
            break;
    }
    if (const auto answer = in.reply->take_answer()) return queue(connection, *answer, in.origin);
    return queue_stream(connection, in.reply, in.origin);
}

void HttpServer::Impl::completed(MHD_Connection* connection, void** state) noexcept {
    const std::unique_ptr<Incoming> in(static_cast<Incoming*>(std::exchange(*state, nullptr)));
    if (!in) return;
    body_bytes_ -= in->body.size();
    if (in->reply) in->reply->close();
    if (in->entered) clients_.leave(in->client, Reply::Clock::now() - *in->entered);
    connections_.answered(id_of(connection));
}

HttpServer::HttpServer(HttpOptions options, Service& service, Figures figures) {
    if (!is_loopback(options.listen) && options.api_key.empty()) {
        throw HttpError(
            fmt::format("http.listen is {}, which others can reach: set an API key "
                        "(http.api_key_file), or listen on 127.0.0.1",
                        options.listen));
    }
    if (sodium_init() < 0) throw HttpError("libsodium cannot be initialised");
    impl_ = std::make_unique<Impl>(std::move(options), service, std::move(figures));
}

HttpServer::~HttpServer() = default;

std::uint16_t HttpServer::port() const noexcept {
    return impl_->port();
}

void HttpServer::allow(std::vector<std::string> hosts, std::vector<std::string> origins) {
    impl_->allow(std::move(hosts), std::move(origins));
}

void HttpServer::limit_clients(std::uint32_t requests) {
    impl_->limit_clients(requests);
}

}  // namespace shoal::http
