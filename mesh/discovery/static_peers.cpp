#include "mesh/discovery/static_peers.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>

#include <array>
#include <atomic>
#include <charconv>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

namespace shoal::mesh::discovery {

namespace {

bool is_numeric_address(const std::string& host) {
    std::array<unsigned char, sizeof(in6_addr)> address{};
    return inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
           inet_pton(AF_INET6, host.substr(0, host.find('%')).c_str(), address.data()) == 1;
}

std::uint16_t parse_port(const std::string& text, const std::string& peer) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc() || end != text.data() + text.size() || port == 0) {
        throw std::runtime_error("peer \"" + peer + "\": \"" + text +
                                 "\" is not a port (1 to 65535)");
    }
    return port;
}

/// Blocks.
std::vector<Endpoint> look_up(const Endpoint& named) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_DGRAM;
    addrinfo* list = nullptr;
    if (getaddrinfo(named.host.c_str(), nullptr, &hints, &list) != 0) return {};
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, freeaddrinfo);
    std::vector<Endpoint> addresses;
    for (; list != nullptr && addresses.size() < StaticPeers::kMaxAddresses; list = list->ai_next) {
        std::array<char, NI_MAXHOST> host{};
        if (getnameinfo(list->ai_addr, list->ai_addrlen, host.data(), host.size(), nullptr, 0,
                        NI_NUMERICHOST) == 0) {
            addresses.push_back({host.data(), named.port});
        }
    }
    return addresses;
}

}  // namespace

Endpoint parse_peer(const std::string& text, std::uint16_t default_port) {
    Endpoint endpoint{text, default_port};
    if (text.starts_with("[")) {
        const auto end = text.find(']');
        if (end == std::string::npos) throw std::runtime_error("peer \"" + text + "\": no ]");
        endpoint.host = text.substr(1, end - 1);
        const std::string rest = text.substr(end + 1);
        if (!rest.empty() && rest[0] != ':') {
            throw std::runtime_error("peer \"" + text + "\": expected a port behind ]");
        }
        if (!rest.empty()) endpoint.port = parse_port(rest.substr(1), text);
    } else if (const auto colon = text.find(':');
               colon != std::string::npos && text.find(':', colon + 1) == std::string::npos) {
        endpoint.host = text.substr(0, colon);
        endpoint.port = parse_port(text.substr(colon + 1), text);
    }
    if (endpoint.host.empty() || endpoint.host.size() >= NI_MAXHOST ||
        endpoint.host.find_first_of(" \t/[]") != std::string::npos) {
        throw std::runtime_error("peer \"" + text + "\" is neither a host nor host:port");
    }
    return endpoint;
}

/// A question to the system's resolver, which may take minutes and cannot be interrupted: one that
/// nobody waits for any more is left to its thread, rather than have the daemon's end wait for it.
class StaticPeers::Lookup {
  public:
    explicit Lookup(const Endpoint& named) {
        const auto ask = [named, answer = answer_] {
            ::pthread_setname_np(::pthread_self(), "look-up");
            answer->addresses = look_up(named);
            answer->is_there = true;
        };
        try {
            thread_ = std::thread(ask);
        } catch (const std::system_error&) {
            answer_->is_there = true;  // No thread is to be had, so nothing is known.
        }
    }
    ~Lookup() {
        if (!thread_.joinable()) return;
        if (is_over()) {
            thread_.join();
        } else {
            thread_.detach();
        }
    }
    Lookup(const Lookup&) = delete;
    Lookup& operator=(const Lookup&) = delete;

    bool is_over() const noexcept { return answer_->is_there; }
    /// Of a look-up that is over; none when the name has none.
    std::vector<Endpoint> take() { return std::move(answer_->addresses); }

  private:
    struct Answer {
        std::vector<Endpoint> addresses;
        std::atomic<bool> is_there{false};
    };

    const std::shared_ptr<Answer> answer_ = std::make_shared<Answer>();
    std::thread thread_;
};

StaticPeers::StaticPeers(const std::vector<std::string>& peers, std::uint16_t default_port) {
    for (const std::string& text : peers) {
        Peer peer;
        peer.named = parse_peer(text, default_port);
        peer.is_numeric = is_numeric_address(peer.named.host);
        if (peer.is_numeric) peer.addresses.push_back(peer.named);
        peers_.push_back(std::move(peer));
    }
}

StaticPeers::~StaticPeers() = default;

void StaticPeers::advance(Peer& peer, Time now) {
    if (peer.lookup && peer.lookup->is_over()) {
        auto addresses = peer.lookup->take();
        peer.failed = addresses.empty();
        // A resolver that fails for a moment does not make us forget.
        if (!addresses.empty()) peer.addresses = std::move(addresses);
        peer.next = now + (peer.addresses.empty() ? kRetry : kRefresh);
        peer.lookup.reset();
    }
    if (!peer.lookup && now >= peer.next) peer.lookup = std::make_unique<Lookup>(peer.named);
}

std::vector<std::string> StaticPeers::unresolved() const {
    std::vector<std::string> names;
    for (const Peer& peer : peers_) {
        if (peer.failed && peer.addresses.empty()) names.push_back(peer.named.host);
    }
    return names;
}

std::vector<Endpoint> StaticPeers::endpoints(Time now) {
    std::vector<Endpoint> all;
    for (Peer& peer : peers_) {
        if (!peer.is_numeric) advance(peer, now);
        all.insert(all.end(), peer.addresses.begin(), peer.addresses.end());
    }
    return all;
}

}  // namespace shoal::mesh::discovery
