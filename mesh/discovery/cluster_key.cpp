#include "mesh/discovery/cluster_key.hpp"

#include <sodium.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "mesh/disk/whole_file.hpp"
#include "mesh/transport/state_file.hpp"
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
// Crockford's alphabet: no I, L, O or U, which are misread.
constexpr char kAlphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

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

int digit_value(char c) noexcept {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (lower == 'o') return 0;
    if (lower == 'i' || lower == 'l') return 1;
    const std::string_view alphabet(kAlphabet, 32);
    const auto at = alphabet.find(lower);
    return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

void start_sodium() {
    if (sodium_init() < 0) throw std::runtime_error("libsodium cannot start its random generator");
}

/// The only line of the file that is neither empty nor a comment.
std::string key_line(const std::string& text, const std::filesystem::path& path) {
    std::istringstream in(text);
    std::string found;
    int found_at = 0;
    int number = 0;
    for (std::string line; std::getline(in, line);) {
        ++number;
        const auto first = line.find_first_not_of(" \t\r");
        if (first == std::string::npos || line[first] == '#') continue;
        if (found_at != 0) {
            throw std::runtime_error(
                path.string() + ":" + std::to_string(number) +
                ": a second key; the file must hold one (the first is in line " +
                std::to_string(found_at) + ")");
        }
        found = line.substr(first, line.find_last_not_of(" \t\r") - first + 1);
        found_at = number;
    }
    if (found_at == 0) throw std::runtime_error(path.string() + " holds no cluster key");
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
    const auto coded = with_checksum(*this);
    std::string text(kPrefix);
    std::uint32_t bits = 0;
    int held = 0;
    std::size_t digits = 0;
    for (const std::uint8_t byte : coded) {
        bits = bits << 8 | byte;
        held += 8;
        while (held >= 5) {
            if (digits != 0 && digits % kGroup == 0) text.push_back('-');
            held -= 5;
            text.push_back(kAlphabet[bits >> held & 31]);
            ++digits;
        }
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
    std::vector<std::uint8_t> coded;
    std::uint32_t bits = 0;
    int held = 0;
    std::size_t digits = 0;
    for (const char c : text.substr(kPrefix.size())) {
        if (c == '-' || c == ' ') continue;
        const int value = digit_value(c);
        if (value < 0) {
            why = "a cluster key holds letters and digits only";
            return std::nullopt;
        }
        if (++digits > kDigits) break;
        bits = (bits << 5 | static_cast<std::uint32_t>(value)) & 0xfff;
        held += 5;
        if (held >= 8) {
            held -= 8;
            coded.push_back(static_cast<std::uint8_t>(bits >> held));
        }
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

ClusterKey load_cluster_key(const std::filesystem::path& path) {
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
    std::string why;
    const auto key = parse_cluster_key(key_line(file->text, path), why);
    if (!key) throw std::runtime_error(path.string() + " holds no valid cluster key: " + why);
    return *key;
}

ClusterKey load_or_make_cluster_key(const std::filesystem::path& path, bool& made) {
    // Another process may be faster; its key is the cluster's.
    made = !transport::read_state_file(path) &&
           disk::create_file(path, generate_cluster_key().text() + "\n", kMode);
    return load_cluster_key(path);
}

void save_cluster_key(const ClusterKey& key, const std::filesystem::path& path) {
    if (!disk::create_file(path, key.text() + "\n", kMode)) {
        throw std::runtime_error(path.string() +
                                 " exists already; a new key would cut this device off from its "
                                 "cluster. Delete the file first if that is wanted");
    }
}

}  // namespace shoal::mesh
