#include "mesh/discovery/static_peers.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#include <array>
#include <charconv>
#include <stdexcept>

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

std::vector<Endpoint> addresses_of(const addrinfo* list, std::uint16_t port) {
    std::vector<Endpoint> addresses;
    for (; list != nullptr && addresses.size() < StaticPeers::kMaxAddresses; list = list->ai_next) {
        std::array<char, NI_MAXHOST> host{};
        if (getnameinfo(list->ai_addr, list->ai_addrlen, host.data(), host.size(), nullptr, 0,
                        NI_NUMERICHOST) == 0) {
            addresses.push_back({host.data(), port});
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

/// A question to glibc's resolver threads. They may go on using it after we lost interest.
struct StaticPeers::Lookup {
    struct State {
        std::string host;
        addrinfo hints{};
        gaicb request{};
    };

    explicit Lookup(const std::string& host) : state(new State) {
        state->host = host;
        state->hints.ai_socktype = SOCK_DGRAM;
        state->request.ar_name = state->host.c_str();
        state->request.ar_request = &state->hints;
        gaicb* list[] = {&state->request};
        if (getaddrinfo_a(GAI_NOWAIT, list, 1, nullptr) != 0) started = false;
    }
    ~Lookup() {
        if (started && gai_error(&state->request) == EAI_INPROGRESS &&
            gai_cancel(&state->request) == EAI_NOTCANCELED) {
            return;  // Left to the resolver, which is using it at this moment.
        }
        if (state->request.ar_result != nullptr) freeaddrinfo(state->request.ar_result);
        delete state;
    }
    Lookup(const Lookup&) = delete;
    Lookup& operator=(const Lookup&) = delete;

    bool is_running() const { return started && gai_error(&state->request) == EAI_INPROGRESS; }

    State* state;
    bool started = true;
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
    if (peer.lookup && !peer.lookup->is_running()) {
        auto addresses = addresses_of(peer.lookup->state->request.ar_result, peer.named.port);
        // A resolver that fails for a moment does not make us forget.
        if (!addresses.empty()) peer.addresses = std::move(addresses);
        peer.next = now + (peer.addresses.empty() ? kRetry : kRefresh);
        peer.lookup.reset();
    }
    if (!peer.lookup && now >= peer.next) peer.lookup = std::make_unique<Lookup>(peer.named.host);
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
