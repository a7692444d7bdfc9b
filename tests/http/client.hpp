// An HTTP client on a raw socket: it can be slow, silent, half closed or wrong.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace shoal::http::test {

struct Response {
    int status = 0;
    std::map<std::string, std::string> headers;  ///< names in lower case
    std::string body;
};

class Client {
  public:
    explicit Client(std::uint16_t port, int receive_buffer = 0) {
        socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (receive_buffer != 0) {
            setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
        }
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
            throw std::runtime_error("cannot connect");
        }
    }
    ~Client() { close(); }
    Client(Client&& other) noexcept
        : socket_(std::exchange(other.socket_, -1)), received_(std::move(other.received_)) {}
    Client& operator=(Client&&) = delete;

    void close() {
        if (socket_ >= 0) ::close(std::exchange(socket_, -1));
    }
    void half_close() { ::shutdown(socket_, SHUT_WR); }

    /// False when the server no longer takes it.
    bool send(std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent <= 0) return false;
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
        return true;
    }

    /// Everything up to and with `end`. Throws when the connection ends or nothing comes.
    std::string read_until(std::string_view end) {
        std::size_t at = 0;
        while ((at = received_.find(end)) == std::string::npos) {
            if (!receive()) throw std::runtime_error("the connection ended: " + received_);
        }
        return take(at + end.size());
    }
    std::string read_bytes(std::size_t count) {
        while (received_.size() < count) {
            if (!receive()) throw std::runtime_error("the connection ended early");
        }
        return take(count);
    }
    /// Until the server closes.
    std::string read_all() {
        while (receive()) {
        }
        return take(received_.size());
    }
    bool ended() { return received_.empty() && !receive(); }
    /// True when nothing comes within `time`.
    bool silent(std::chrono::milliseconds time) {
        if (!received_.empty()) return false;
        pollfd poll_for{socket_, POLLIN, 0};
        return ::poll(&poll_for, 1, static_cast<int>(time.count())) == 0;
    }

    /// Status line and headers.
    Response read_head() {
        Response response;
        std::string head = read_until("\r\n\r\n");
        if (!head.starts_with("HTTP/1.1 ")) throw std::runtime_error("no status line: " + head);
        response.status = std::stoi(head.substr(9, 3));
        std::size_t at = head.find("\r\n") + 2;
        while (at + 2 < head.size()) {
            const std::size_t end = head.find("\r\n", at);
            const std::size_t colon = head.find(": ", at);
            std::string name = head.substr(at, colon - at);
            std::transform(name.begin(), name.end(), name.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
            response.headers[name] = head.substr(colon + 2, end - colon - 2);
            at = end + 2;
        }
        return response;
    }
    /// One chunk's bytes, empty for the last.
    std::string read_chunk() {
        const std::string size = read_until("\r\n");
        std::string bytes = read_bytes(std::stoul(size, nullptr, 16) + 2);
        bytes.resize(bytes.size() - 2);
        return bytes;
    }
    Response read_response(bool head_only = false) {
        Response response = read_head();
        if (head_only) return response;
        if (response.headers["transfer-encoding"] == "chunked") {
            for (std::string chunk = read_chunk(); !chunk.empty(); chunk = read_chunk()) {
                response.body += chunk;
            }
        } else {
            response.body = read_bytes(std::stoul(response.headers.at("content-length")));
        }
        return response;
    }
    /// The next server-sent event of a chunked stream, without the empty line; throws at the end.
    std::string read_event() {
        std::size_t at = 0;
        while ((at = events_.find("\n\n")) == std::string::npos) {
            const std::string chunk = read_chunk();
            if (chunk.empty()) throw std::runtime_error("the stream ended");
            events_ += chunk;
        }
        std::string event = events_.substr(0, at);
        events_.erase(0, at + 2);
        return event;
    }

  private:
    bool receive() {
        pollfd poll_for{socket_, POLLIN, 0};
        if (::poll(&poll_for, 1, 10'000) <= 0) throw std::runtime_error("nothing came for 10 s");
        char bytes[16384];
        const ssize_t count = ::recv(socket_, bytes, sizeof bytes, 0);
        if (count > 0) received_.append(bytes, static_cast<std::size_t>(count));
        return count > 0;
    }
    std::string take(std::size_t count) {
        std::string out = received_.substr(0, count);
        received_.erase(0, count);
        return out;
    }

    int socket_ = -1;
    std::string received_, events_;
};

/// A request with the headers that every one needs.
inline std::string get(const std::string& path, const std::string& headers = {}) {
    return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n";
}
inline std::string post(const std::string& path, const std::string& body,
                        const std::string& headers = {}) {
    return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
           "Content-Length: " + std::to_string(body.size()) + "\r\n" + headers + "\r\n" + body;
}

}  // namespace shoal::http::test
