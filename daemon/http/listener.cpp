#include "daemon/http/listener.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <system_error>

namespace shoal::http {
namespace {

union Address {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
};

/// Throws HttpError when the text is no IP address.
socklen_t parse(const HttpOptions& options, Address& address) {
    address = {};
    if (inet_pton(AF_INET, options.listen.c_str(), &address.v4.sin_addr) == 1) {
        address.v4.sin_family = AF_INET;
        address.v4.sin_port = htons(options.port);
        return sizeof address.v4;
    }
    if (inet_pton(AF_INET6, options.listen.c_str(), &address.v6.sin6_addr) == 1) {
        address.v6.sin6_family = AF_INET6;
        address.v6.sin6_port = htons(options.port);
        return sizeof address.v6;
    }
    throw HttpError(fmt::format("http.listen \"{}\" is no IP address", options.listen));
}

std::uint16_t bound_port(int socket) {
    Address address{};
    socklen_t size = sizeof address;
    if (getsockname(socket, &address.any, &size) != 0) return 0;
    return ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
}

bool set(int socket, int level, int option, int value) noexcept {
    return setsockopt(socket, level, option, &value, sizeof value) == 0;
}

std::string text_of(const Address& address) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    const void* bytes = &address.v6.sin6_addr;
    if (address.any.sa_family == AF_INET) bytes = &address.v4.sin_addr;
    if (inet_ntop(address.any.sa_family, bytes, text.data(), text.size()) == nullptr) return {};
    // An IPv4 client of a socket for both is shown as ::ffff:1.2.3.4.
    constexpr std::string_view kMapped = "::ffff:";
    std::string_view shown = text.data();
    if (shown.starts_with(kMapped) && shown.find('.') != shown.npos) {
        shown.remove_prefix(kMapped.size());
    }
    return std::string(shown);
}

}  // namespace

Listener::Listener(const HttpOptions& options) {
    Address address{};
    const socklen_t size = parse(options, address);
    const int family = address.any.sa_family;
    socket_ = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    // Accepted sockets inherit the size of the send buffer.
    const bool listening = socket_ >= 0 && set(socket_, SOL_SOCKET, SO_REUSEADDR, 1) &&
                           set(socket_, SOL_SOCKET, SO_SNDBUF, options.socket_send_buffer_bytes) &&
                           (family == AF_INET || set(socket_, IPPROTO_IPV6, IPV6_V6ONLY, 0)) &&
                           ::bind(socket_, &address.any, size) == 0 &&
                           ::listen(socket_, SOMAXCONN) == 0;
    if (!listening) {
        const std::string why = std::generic_category().message(errno);
        if (socket_ >= 0) ::close(socket_);
        throw HttpError(fmt::format("cannot listen on {} port {}: {} (http.listen, http.port)",
                                    options.listen, options.port, why));
    }
    port_ = bound_port(socket_);
}

Listener::~Listener() {
    if (socket_ >= 0) ::close(socket_);
}

std::string local_address(int socket) {
    Address address{};
    socklen_t size = sizeof address;
    return getsockname(socket, &address.any, &size) == 0 ? text_of(address) : "";
}

std::string peer_address(int socket) {
    Address address{};
    socklen_t size = sizeof address;
    return getpeername(socket, &address.any, &size) == 0 ? text_of(address) : "";
}

}  // namespace shoal::http
