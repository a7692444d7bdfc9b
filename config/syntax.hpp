// What texts in the configuration must look like. Each returns what is wrong, or nothing.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace shoal::config {

/// A file name: no zero byte and no other control character.
std::optional<std::string> check_path(std::string_view text);
/// One line of readable text.
std::optional<std::string> check_line(std::string_view text);
/// A device's name: letters, digits, '.', '-', '_' and spaces inside.
std::optional<std::string> check_name(std::string_view text);
/// A name or an id of a device; not empty.
std::optional<std::string> check_device(std::string_view text);
/// "name=0.25"
std::optional<std::string> check_share(std::string_view text);
/// "*", an IPv4 or an IPv6 address.
std::optional<std::string> check_bind(std::string_view text);
/// An IPv4 or IPv6 address, or "localhost".
std::optional<std::string> check_listen(std::string_view text);
/// "eth0"
std::optional<std::string> check_interface(std::string_view text);
/// A host name or an IP address.
std::optional<std::string> check_host(std::string_view text);
/// "https://host", "http://host:port", "chrome-extension://id": what a browser sends as Origin.
std::optional<std::string> check_origin(std::string_view text);
/// "host", "host:port", "address", "[address]:port"
std::optional<std::string> check_peer(std::string_view text);
/// A Unix group, or empty.
std::optional<std::string> check_group(std::string_view text);
/// Empty, or at least 16 visible ASCII characters.
std::optional<std::string> check_api_key(std::string_view text);

/// The most that a device takes of a model.
struct Share {
    std::string device;
    double part = 1;  ///< 0..1
};
std::optional<Share> parse_share(std::string_view text);

/// Text from outside made fit for a message: one line, at most 60 characters.
std::string shown(std::string_view text);

}  // namespace shoal::config
