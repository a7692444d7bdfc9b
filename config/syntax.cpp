#include "config/syntax.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

#include "config/keys.hpp"

namespace shoal::config {
namespace {

constexpr std::size_t kShownCharacters = 60;
constexpr std::size_t kMinApiKey = 16;
constexpr std::size_t kMaxInterfaceName = 15;  // IFNAMSIZ without the terminating zero
constexpr std::size_t kMaxHostName = 253;      // RFC 1035, section 2.3.4

bool is_control(char c) noexcept {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
}

bool is_alnum(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// Letters, digits and the given further characters only.
bool consists_of(std::string_view text, std::string_view further) noexcept {
    return std::ranges::all_of(
        text, [&](char c) { return is_alnum(c) || further.find(c) != std::string_view::npos; });
}

bool is_ip(std::string_view text, int family) noexcept {
    unsigned char address[sizeof(in6_addr)];
    return inet_pton(family, std::string(text).c_str(), address) == 1;
}

bool is_ip(std::string_view text) noexcept {
    return is_ip(text, AF_INET) || is_ip(text, AF_INET6);
}

bool is_port(std::string_view text) noexcept {
    unsigned port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    return error == std::errc() && end == text.data() + text.size() && port >= 1 && port <= 65535;
}

std::optional<std::string> complaint(bool fine, std::string_view text, const char* expected) {
    if (fine) return std::nullopt;
    return shown(text) + " is not " + expected;
}

}  // namespace

std::string shown(std::string_view text) {
    std::string out = "\"";
    for (char c : text.substr(0, kShownCharacters)) out += is_control(c) ? '?' : c;
    return out + (text.size() > kShownCharacters ? "...\"" : "\"");
}

std::optional<std::string> check_path(std::string_view text) {
    return complaint(std::ranges::none_of(text, is_control), text, "a file name");
}

std::optional<std::string> check_line(std::string_view text) {
    return complaint(std::ranges::none_of(text, is_control), text, "one line of readable text");
}

std::optional<std::string> check_name(std::string_view text) {
    const bool fine =
        text.empty() || (consists_of(text, ".-_ ") && text.front() != ' ' && text.back() != ' ');
    return complaint(fine, text, "a name of letters, digits, '.', '-', '_' and spaces inside");
}

std::optional<std::string> check_device(std::string_view text) {
    return complaint(!text.empty() && !check_name(text), text, "the name or the id of a device");
}

std::optional<Share> parse_share(std::string_view text) {
    const auto sign = text.rfind('=');
    if (sign == std::string_view::npos || check_device(text.substr(0, sign))) return std::nullopt;
    Share share{std::string(text.substr(0, sign)), 0};
    const std::string_view number = text.substr(sign + 1);
    const auto [end, error] =
        std::from_chars(number.data(), number.data() + number.size(), share.part);
    if (error != std::errc{} || end != number.data() + number.size()) return std::nullopt;
    if (!(share.part >= 0 && share.part <= 1)) return std::nullopt;
    return share;
}

std::optional<std::string> check_share(std::string_view text) {
    return complaint(parse_share(text).has_value(), text,
                     "a device and its part: write \"name=0.25\", with a part of 0 to 1");
}

std::optional<std::string> check_bind(std::string_view text) {
    return complaint(text == "*" || is_ip(text), text,
                     text.find('%') == std::string_view::npos
                         ? "an IP address of this device or \"*\""
                         : "an address that devices elsewhere can use, as what follows % is known "
                           "here only: write one without it, or \"*\" and cluster.interfaces");
}

std::optional<std::string> check_listen(std::string_view text) {
    return complaint(text == "localhost" || is_ip(text), text,
                     "an IP address (0.0.0.0 and :: stand for every address) or \"localhost\"");
}

std::optional<std::string> check_interface(std::string_view text) {
    const bool fine =
        !text.empty() && text.size() <= kMaxInterfaceName && consists_of(text, ".-_:@");
    return complaint(fine, text, "a network interface such as \"eth0\"");
}

std::optional<std::string> check_host(std::string_view text) {
    const bool name = !text.empty() && text.size() <= kMaxHostName && consists_of(text, ".-_") &&
                      text.front() != '-' && text.front() != '.';
    return complaint(name || is_ip(text), text, "a host name or an IP address");
}

std::optional<std::string> check_origin(std::string_view text) {
    const auto end = text.find("://");
    const bool fine = end != std::string_view::npos && end > 0 &&
                      consists_of(text.substr(0, end), "+-.") && text.size() > end + 3 &&
                      text.size() <= kMaxHostName && consists_of(text.substr(end + 3), ".-_:[]");
    return complaint(fine, text,
                     "an origin: write \"https://host\" or \"http://host:port\", without a path");
}

std::optional<std::string> check_peer(std::string_view text) {
    constexpr const char* kExpected =
        "a peer: write \"host\", \"host:port\" (1..65535) or \"[IPv6 address]:port\"";
    if (text.starts_with('[')) {
        const auto close = text.find(']');
        if (close == std::string_view::npos) return complaint(false, text, kExpected);
        const std::string_view rest = text.substr(close + 1);
        const bool fine = is_ip(text.substr(1, close - 1), AF_INET6) &&
                          (rest.empty() || (rest.front() == ':' && is_port(rest.substr(1))));
        return complaint(fine, text, kExpected);
    }
    if (is_ip(text)) return std::nullopt;
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) return complaint(!check_host(text), text, kExpected);
    const bool fine = !check_host(text.substr(0, colon)) && is_port(text.substr(colon + 1));
    return complaint(fine, text, kExpected);
}

std::optional<std::string> check_group(std::string_view text) {
    const bool fine =
        text.empty() || (consists_of(text, "-_.") && text.front() != '-' && text.front() != '.');
    return complaint(fine, text, "the name of a group");
}

std::optional<std::string> check_api_key(std::string_view text) {
    if (text.empty()) return std::nullopt;
    // The key itself stays out of the message: logs are read by others.
    if (text.size() < kMinApiKey) return "is too short: use at least 16 characters";
    if (std::ranges::any_of(text, [](char c) { return c <= ' ' || c > '~'; })) {
        return "must consist of visible ASCII characters without spaces";
    }
    return std::nullopt;
}

bool is_loopback(std::string_view address) {
    if (address == "localhost") return true;
    in_addr v4{};
    if (inet_pton(AF_INET, std::string(address).c_str(), &v4) == 1) {
        return (ntohl(v4.s_addr) >> 24) == 127;
    }
    in6_addr v6{};
    if (inet_pton(AF_INET6, std::string(address).c_str(), &v6) != 1) return false;
    if (IN6_IS_ADDR_V4MAPPED(&v6)) return v6.s6_addr[12] == 127;
    return IN6_IS_ADDR_LOOPBACK(&v6);
}

}  // namespace shoal::config
