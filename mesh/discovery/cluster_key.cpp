#include "mesh/discovery/cluster_key.hpp"

#include <sodium.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include "mesh/disk/whole_file.hpp"
#include "mesh/transport/state_file.hpp"
#include "mesh/wire/base32.hpp"
#include "mesh/wire/hex.hpp"

namespace shoal::mesh {

namespace {

constexpr std::string_view kPrefix = "shoal1-";
constexpr mode_t kMode = 0600;
constexpr std::size_t kGroup = 7;
constexpr std::size_t kChecksumBytes = 3;
// 35 bytes are exactly 56 base-32 digits, eight groups of seven.
constexpr std::size_t kCodedBytes = 32 + kChecksumBytes;
constexpr std::size_t kDigits = kCodedBytes * 8 / 5;
static_assert(kCodedBytes * 8 % 5 == 0 && kDigits % kGroup == 0);

constexpr char kKdfContext[crypto_kdf_CONTEXTBYTES + 1] = "shoalkey";
enum Subkey : std::uint64_t { kBeacon = 1, kFingerprint = 2, kChecksum = 3 };

template <std::size_t N>
std::array<std::uint8_t, N> derive(const std::array<std::uint8_t, 32>& secret, Subkey which) {
    static_assert(N >= crypto_kdf_BYTES_MIN && N <= crypto_kdf_BYTES_MAX);
    std::array<std::uint8_t, N> key{};
    crypto_kdf_derive_from_key(key.data(), key.size(), which, kKdfContext, secret.data());
    return key;
}

std::array<std::uint8_t, kCodedBytes> with_checksum(const ClusterKey& key) {
    std::array<std::uint8_t, kCodedBytes> coded{};
    std::copy(key.secret.begin(), key.secret.end(), coded.begin());
    const auto sum = derive<crypto_kdf_BYTES_MIN>(key.secret, kChecksum);
    std::copy_n(sum.begin(), kChecksumBytes, coded.begin() + key.secret.size());
    return coded;
}

void start_sodium() {
    if (sodium_init() < 0) throw std::runtime_error("libsodium cannot start its random generator");
}

/// The lines of the file that are neither empty nor a comment.
std::vector<std::string> key_lines(const std::string& text, const std::filesystem::path& path) {
    std::istringstream in(text);
    std::vector<std::string> found;
    int number = 0;
    for (std::string line; std::getline(in, line);) {
        ++number;
        const auto first = line.find_first_not_of(" \t\r");
        if (first == std::string::npos || line[first] == '#') continue;
        if (found.size() == kMaxKeysInFile) {
            throw std::runtime_error(path.string() + ":" + std::to_string(number) +
                                     ": one key too many; the file holds the cluster's key and at "
                                     "most " +
                                     std::to_string(kMaxKeysInFile - 1) +
                                     " that it had before, behind it");
        }
        found.push_back(line.substr(first, line.find_last_not_of(" \t\r") - first + 1));
    }
    if (found.empty()) throw std::runtime_error(path.string() + " holds no cluster key");
    return found;
}

}  // namespace

std::array<std::uint8_t, 32> ClusterKey::beacon_key() const noexcept {
    return derive<32>(secret, kBeacon);
}

std::string ClusterKey::fingerprint() const {
    const auto bytes = derive<crypto_kdf_BYTES_MIN>(secret, kFingerprint);
    const std::string hex = wire::to_hex(bytes);
    return hex.substr(0, 4) + "-" + hex.substr(4, 4) + "-" + hex.substr(8, 4);
}

std::string ClusterKey::text() const {
    const std::string digits = wire::to_base32(with_checksum(*this));
    std::string text(kPrefix);
    for (std::size_t i = 0; i < digits.size(); i += kGroup) {
        text.append(i == 0 ? "" : "-").append(digits, i, kGroup);
    }
    return text;
}

ClusterKey generate_cluster_key() {
    start_sodium();
    ClusterKey key;
    randombytes_buf(key.secret.data(), key.secret.size());
    return key;
}

std::optional<ClusterKey> parse_cluster_key(std::string_view text, std::string& why) {
    const auto has_prefix = [&] {
        return text.size() >= kPrefix.size() &&
               std::equal(kPrefix.begin(), kPrefix.end(), text.begin(), [](char want, char got) {
                   return want == (got >= 'A' && got <= 'Z' ? static_cast<char>(got + 32) : got);
               });
    };
    if (!has_prefix()) {
        why = "a cluster key starts with \"" + std::string(kPrefix) + "\"";
        return std::nullopt;
    }
    const auto [coded, digits, strange, padded] =
        wire::from_base32(text.substr(kPrefix.size()), kDigits);
    if (strange) {
        why = "a cluster key holds letters and digits only";
        return std::nullopt;
    }
    if (digits != kDigits) {
        why = "a cluster key has " + std::to_string(kDigits) + " letters and digits after \"" +
              std::string(kPrefix) + "\", this one has " +
              (digits > kDigits ? "more" : std::to_string(digits));
        return std::nullopt;
    }
    ClusterKey key;
    std::copy_n(coded.begin(), key.secret.size(), key.secret.begin());
    if (!std::equal(coded.begin(), coded.end(), with_checksum(key).begin())) {
        why = "the checksum does not match; a character is wrong or two are swapped";
        return std::nullopt;
    }
    return key;
}

std::vector<ClusterKey> read_cluster_keys(const std::string& text,
                                          const std::filesystem::path& path) {
    std::vector<ClusterKey> keys;
    for (const std::string& line : key_lines(text, path)) {
        std::string why;
        const auto key = parse_cluster_key(line, why);
        if (!key) {
            throw std::runtime_error(path.string() + " holds no valid cluster key: " + why +
                                     "; copy it anew from another device, or delete it, start, "
                                     "and join with `shoal join`");
        }
        keys.push_back(*key);
    }
    return keys;
}

std::vector<ClusterKey> load_cluster_keys(const std::filesystem::path& path) {
    start_sodium();
    const auto file = transport::read_state_file(path);
    if (!file) {
        throw std::runtime_error(
            "there is no cluster key at " + path.string() +
            "; make one with `shoal key new` on the first device and copy it to the others");
    }
    if ((file->mode & 027) != 0) {
        throw std::runtime_error(path.string() +
                                 (file->mode & 07 ? " is open to everybody on this machine"
                                                  : " may be written by its group") +
                                 "; run: chmod 640 " + path.string());
    }
    return read_cluster_keys(file->text, path);
}

ClusterKey load_cluster_key(const std::filesystem::path& path) {
    return load_cluster_keys(path).front();
}

ClusterKey load_or_make_cluster_key(const std::filesystem::path& path, bool& made) {
    // Another process may be faster; its key is the cluster's.
    made = !transport::read_state_file(path) &&
           disk::create_file(path, generate_cluster_key().text() + "\n", kMode);
    return load_cluster_key(path);
}

void replace_cluster_keys(std::span<const ClusterKey> keys, const std::filesystem::path& path) {
    const auto before = transport::read_state_file(path);
    std::string text;
    for (const ClusterKey& key : keys) text += key.text() + "\n";
    disk::replace_file(path, text, before ? before->mode & 0640 : kMode);
}

void save_cluster_key(const ClusterKey& key, const std::filesystem::path& path) {
    if (!disk::create_file(path, key.text() + "\n", kMode)) {
        throw std::runtime_error(path.string() +
                                 " exists already; a new key would cut this device off from its "
                                 "cluster. Delete the file first if that is wanted");
    }
}

}  // namespace shoal::mesh
