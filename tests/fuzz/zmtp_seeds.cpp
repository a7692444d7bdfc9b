// zmtp-seeds FOLDER: what peers of every kind say, for zmtp_fuzz.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>

#include "mesh/exchange/frame.hpp"
#include "mesh/exchange/zmtp/noise.hpp"
#include "mesh/exchange/zmtp/seal.hpp"
#include "mesh/exchange/zmtp/wire.hpp"
#include "tests/fuzz/zmtp_keys.hpp"

using namespace shoal::mesh;
using namespace shoal::mesh::exchange;
using namespace shoal::mesh::exchange::zmtp;

namespace {

Bytes greeting(std::string_view mechanism, std::uint8_t minor) {
    const auto bytes = encode(Greeting{minor, std::string(mechanism), false});
    return {bytes.begin(), bytes.end()};
}

void append_ready(Bytes& out, std::string_view type) {
    Bytes properties;
    append_property(properties, "Socket-Type", type);
    append_property(properties, "Identity", "");
    append_command(out, "READY", properties);
}

Bytes frame_of(std::size_t payload) {
    FrameHeader header;
    header.length = static_cast<std::uint32_t>(payload);
    header.op = 1;
    Bytes frame(kHeaderBytes + payload);
    encode(header, std::span<std::byte, kHeaderBytes>(frame.data(), kHeaderBytes));
    return frame;
}

Bytes hello() {
    const Identity self = known_device();
    constexpr std::string_view kPrologue = "shoal data plane 1";
    NoiseKK noise(true, {self.public_key, self.secret_key}, fuzzed_device().public_key,
                  bytes_of(kPrologue));
    const auto key = std::as_bytes(std::span(self.public_key));
    Bytes out(key.begin(), key.end());
    const Bytes message = noise.write(Bytes{std::byte{quick_ciphers()}});
    out.insert(out.end(), message.begin(), message.end());
    return out;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: zmtp-seeds FOLDER\n");
        return 2;
    }
    try {
        const std::filesystem::path folder = argv[1];
        std::filesystem::create_directories(folder);
        const auto put = [&](const std::string& name, ZmtpRole role, const Bytes& bytes) {
            std::ofstream file(folder / name, std::ios::binary | std::ios::trunc);
            file.put(static_cast<char>(role)).put(17);
            file.write(reinterpret_cast<const char*>(bytes.data()),
                       static_cast<std::streamsize>(bytes.size()));
        };
        const auto topic = exchange::topic({}, kEveryone);

        Bytes words;
        append_command(words, "SUBSCRIBE", topic);
        append_command(words, "PING",
                       bytes_of("\x01\x02"
                                "context"));
        append_command(words, "CANCEL", topic);
        Bytes by_message{std::byte{1}};
        by_message.insert(by_message.end(), topic.begin(), topic.end());
        append_message(words, by_message);
        append_message(words, frame_of(300));
        put("words", ZmtpRole::clear_frames, words);

        for (const std::uint8_t minor : {std::uint8_t{0}, std::uint8_t{1}}) {
            const std::string version = "-3." + std::to_string(minor);
            Bytes said = greeting("NULL", minor);
            append_ready(said, "SUB");
            said.insert(said.end(), words.begin(), words.end());
            put("subscriber" + version, ZmtpRole::clear_publisher, said);
            said = greeting("NULL", minor);
            append_ready(said, "XPUB");
            append_message(said, frame_of(10));
            put("publisher" + version, ZmtpRole::clear_subscriber, said);
        }

        Bytes said = greeting("SHOAL", 1);
        append_command(said, "HELLO", hello());
        append_command(said, "SUBSCRIBE", Bytes(kTopicBytes + kNoiseTagBytes));
        put("device", ZmtpRole::sealed_publisher, said);
        said = greeting("SHOAL", 1);
        append_command(said, "WELCOME", Bytes(kNoiseMessageBytes + 1, std::byte{9}));
        put("welcome", ZmtpRole::sealed_subscriber, said);
        said = greeting("SHOAL", 1);
        append_command(said, "ERROR",
                       bytes_of("\x04"
                                "none"));
        put("error", ZmtpRole::sealed_subscriber, said);

        for (const Cipher cipher :
             {Cipher::aes_256_ocb, Cipher::aes_256_gcm, Cipher::chacha20_poly1305}) {
            Sealer sealer(generate_seal_key(), cipher, 5);
            const Bytes frame = frame_of(100);
            Bytes sealed(frame.size() + kSealBytes);
            sealer.begin(frame, sealed);
            (void)sealer.go_on(1 << 10);
            Bytes out;
            append_message(out, sealed);
            put(name_of(cipher), ZmtpRole::sealed_frames, out);
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "zmtp-seeds: %s\n", error.what());
        return 1;
    }
    return 0;
}
