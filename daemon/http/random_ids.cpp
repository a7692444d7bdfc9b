#include "daemon/http/random_ids.hpp"

#include <sodium.h>

#include <array>

namespace shoal::http {

std::string random_id(std::string_view prefix) {
    std::array<unsigned char, 12> bytes{};
    randombytes_buf(bytes.data(), bytes.size());
    std::array<char, 2 * bytes.size() + 1> hex{};
    return std::string(prefix) + sodium_bin2hex(hex.data(), hex.size(), bytes.data(), bytes.size());
}

std::uint64_t random_seed() {
    std::uint64_t seed = 0;
    randombytes_buf(&seed, sizeof seed);
    return seed;
}

}  // namespace shoal::http
