#include "mesh/wire/identity.hpp"

#include <sodium.h>

#include "mesh/wire/hex.hpp"

namespace shoal::mesh {

namespace {

template <typename T>
std::optional<T> parse_hex(std::string_view text) noexcept {
    T value;
    if (!wire::from_hex(text, value.bytes)) return std::nullopt;
    return value;
}

}  // namespace

std::string DeviceId::hex() const {
    return wire::to_hex(bytes);
}

std::optional<DeviceId> DeviceId::from_hex(std::string_view text) noexcept {
    return parse_hex<DeviceId>(text);
}

DeviceId device_id_of(const PublicKey& key) noexcept {
    DeviceId id;
    crypto_generichash(id.bytes.data(), id.bytes.size(), key.data(), key.size(), nullptr, 0);
    return id;
}

std::string ModelHash::hex() const {
    return wire::to_hex(bytes);
}

std::optional<ModelHash> ModelHash::from_hex(std::string_view text) noexcept {
    return parse_hex<ModelHash>(text);
}

}  // namespace shoal::mesh
