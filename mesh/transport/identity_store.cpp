#include "mesh/transport/identity_store.hpp"

#include <sodium.h>

#include <sstream>
#include <stdexcept>

#include "mesh/disk/whole_file.hpp"
#include "mesh/transport/state_file.hpp"
#include "mesh/wire/hex.hpp"

namespace shoal::mesh {

namespace {

constexpr char kMagic[] = "shoal-device-key";
constexpr int kFileVersion = 1;
constexpr mode_t kMode = 0600;

std::string format(const Identity& identity) {
    return std::string(kMagic) + " " + std::to_string(kFileVersion) + "\npublic " +
           wire::to_hex(identity.public_key) + "\nsecret " + wire::to_hex(identity.secret_key) +
           "\n";
}

Identity parse(const transport::StateFile& file, const std::filesystem::path& path) {
    const auto damaged = [&](const std::string& why) {
        return std::runtime_error(path.string() + " is damaged (" + why +
                                  "); restore it, or delete it to give this device a new identity");
    };
    if ((file.mode & 077) != 0) {
        throw std::runtime_error(path.string() +
                                 " may be read by others than its owner; run: chmod 600 " +
                                 path.string());
    }
    std::istringstream in(file.text);
    std::string magic, public_word, public_hex, secret_word, secret_hex;
    int version = 0;
    in >> magic >> version >> public_word >> public_hex >> secret_word >> secret_hex;
    if (!in || magic != kMagic || public_word != "public" || secret_word != "secret") {
        throw damaged("not a device key");
    }
    if (version != kFileVersion) throw damaged("unknown version " + std::to_string(version));
    Identity identity;
    if (!wire::from_hex(public_hex, identity.public_key)) throw damaged("bad public key");
    if (!wire::from_hex(secret_hex, identity.secret_key)) throw damaged("bad secret key");
    PublicKey derived{};
    crypto_scalarmult_base(derived.data(), identity.secret_key.data());
    if (derived != identity.public_key) throw damaged("the two keys do not belong together");
    identity.id = device_id_of(identity.public_key);
    return identity;
}

}  // namespace

Identity generate_identity() {
    if (sodium_init() < 0) throw std::runtime_error("libsodium cannot start its random generator");
    Identity identity;
    // CURVE keys are crypto_box keys; zmq_curve_keypair makes the same in Z85 text.
    crypto_box_keypair(identity.public_key.data(), identity.secret_key.data());
    identity.id = device_id_of(identity.public_key);
    return identity;
}

Identity load_or_create_identity(const std::filesystem::path& state_dir) {
    if (sodium_init() < 0) throw std::runtime_error("libsodium cannot start its random generator");
    transport::make_state_folder(state_dir);
    const auto path = state_dir / "device.key";
    if (const auto file = transport::read_state_file(path)) return parse(*file, path);
    const Identity identity = generate_identity();
    if (disk::create_file(path, format(identity), kMode)) return identity;
    // Another process was faster; its key is the device's.
    const auto file = transport::read_state_file(path);
    if (!file) throw std::runtime_error(path.string() + " appeared and vanished");
    return parse(*file, path);
}

}  // namespace shoal::mesh
