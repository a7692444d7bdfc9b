#include "mesh/joining/invitation.hpp"

#include <arpa/inet.h>
#include <sodium.h>

#include <algorithm>
#include <span>

#include "mesh/wire/base32.hpp"

namespace shoal::mesh::joining {

namespace {

constexpr std::string_view kPrefix = "shoal-join1-";
constexpr std::size_t kV4Bytes = 4, kV6Bytes = 16, kChecksumBytes = 3;
constexpr std::size_t kHeadBytes = 3;  // counts and port
constexpr std::size_t kTailBytes = sizeof(PublicKey) + sizeof(Secret) + kChecksumBytes;
constexpr std::size_t kMaxBytes = kHeadBytes + kMaxAddresses * kV6Bytes + kTailBytes;
constexpr std::size_t kMaxDigits = (kMaxBytes * 8 + 4) / 5;

using Bytes = std::vector<std::uint8_t>;

std::array<std::uint8_t, kChecksumBytes> checksum(std::span<const std::uint8_t> bytes) {
    std::array<std::uint8_t, crypto_generichash_BYTES_MIN> sum{};
    crypto_generichash(sum.data(), sum.size(), bytes.data(), bytes.size(), nullptr, 0);
    std::array<std::uint8_t, kChecksumBytes> first{};
    std::copy_n(sum.begin(), first.size(), first.begin());
    return first;
}

/// The bytes of the numeric addresses of one family.
Bytes packed(const std::vector<std::string>& addresses, int family, std::size_t each) {
    Bytes out;
    for (const std::string& address : addresses) {
        std::array<std::uint8_t, kV6Bytes> bytes{};
        if (inet_pton(family, address.c_str(), bytes.data()) != 1) continue;
        out.insert(out.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(each));
    }
    return out;
}

std::string unpacked(const std::uint8_t* bytes, int family) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(family, bytes, text.data(), text.size());
    return text.data();
}

bool has_prefix(std::string_view text) {
    return text.size() >= kPrefix.size() &&
           std::equal(kPrefix.begin(), kPrefix.end(), text.begin(), [](char want, char got) {
               return want == (got >= 'A' && got <= 'Z' ? static_cast<char>(got - 'A' + 'a') : got);
           });
}

}  // namespace

std::string text_of(const Invitation& invitation) {
    const Bytes v4 = packed(invitation.addresses, AF_INET, kV4Bytes);
    const Bytes v6 = packed(invitation.addresses, AF_INET6, kV6Bytes);
    Bytes bytes{static_cast<std::uint8_t>(v4.size() / kV4Bytes | v6.size() / kV6Bytes << 4),
                static_cast<std::uint8_t>(invitation.port & 0xff),
                static_cast<std::uint8_t>(invitation.port >> 8)};
    bytes.insert(bytes.end(), v4.begin(), v4.end());
    bytes.insert(bytes.end(), v6.begin(), v6.end());
    bytes.insert(bytes.end(), invitation.inviter.begin(), invitation.inviter.end());
    bytes.insert(bytes.end(), invitation.secret.begin(), invitation.secret.end());
    const auto sum = checksum(bytes);
    bytes.insert(bytes.end(), sum.begin(), sum.end());
    return std::string(kPrefix) + wire::to_base32(bytes);
}

std::optional<Invitation> parse_invitation(std::string_view text, std::string& why) {
    const auto first = text.find_first_not_of(" \t\r\n");
    text.remove_prefix(first == std::string_view::npos ? text.size() : first);
    if (!has_prefix(text)) {
        why = "an invitation starts with \"" + std::string(kPrefix) +
              "\"; `shoal invite` on a device of the cluster prints one";
        return std::nullopt;
    }
    const wire::Base32 read = wire::from_base32(text.substr(kPrefix.size()), kMaxDigits);
    const Bytes& bytes = read.bytes;
    const std::size_t v4 = bytes.empty() ? 0 : bytes[0] & 0xf,
                      v6 = bytes.empty() ? 0 : bytes[0] >> 4;
    const std::size_t size = kHeadBytes + v4 * kV4Bytes + v6 * kV6Bytes + kTailBytes;
    if (read.strange) {
        why = "an invitation holds letters and digits only";
    } else if (v4 + v6 == 0 || v4 + v6 > kMaxAddresses || bytes.size() != size || !read.padded ||
               read.digits != (size * 8 + 4) / 5) {
        why = "a part of it is missing, or something was added; copy the whole line";
    } else if (!std::ranges::equal(checksum(std::span(bytes).first(size - kChecksumBytes)),
                                   std::span(bytes).last(kChecksumBytes))) {
        why = "its checksum does not match, so a character of it is wrong";
    } else if (bytes[1] == 0 && bytes[2] == 0) {
        why = "it names no port";
    } else {
        Invitation invitation;
        invitation.port = static_cast<std::uint16_t>(bytes[1] | bytes[2] << 8);
        const std::uint8_t* at = bytes.data() + kHeadBytes;
        for (std::size_t i = 0; i < v4; ++i, at += kV4Bytes) {
            invitation.addresses.push_back(unpacked(at, AF_INET));
        }
        for (std::size_t i = 0; i < v6; ++i, at += kV6Bytes) {
            invitation.addresses.push_back(unpacked(at, AF_INET6));
        }
        std::copy_n(at, invitation.inviter.size(), invitation.inviter.begin());
        std::copy_n(at + invitation.inviter.size(), invitation.secret.size(),
                    invitation.secret.begin());
        return invitation;
    }
    return std::nullopt;
}

}  // namespace shoal::mesh::joining
