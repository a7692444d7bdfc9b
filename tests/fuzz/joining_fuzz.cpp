// What comes from outside on first contact: invitations, the frames of joining, what devices say of
// keys and names, and the book of devices, which a person may have edited. Nothing crashes, and
// what was read is written so that it reads the same.
#include <sodium.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "daemon/contact/device_book.hpp"
#include "daemon/contact/key_ring.hpp"
#include "mesh/joining/invitation.hpp"
#include "mesh/joining/join_frames.hpp"
#include "mesh/messages/devices.hpp"

using namespace shoal;
using namespace shoal::mesh;

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

void fuzz_line(const std::string& text) {
    std::string why;
    const auto read = joining::parse_invitation(text, why);
    require(read.has_value() || !why.empty());
    if (read) require(joining::parse_invitation(joining::text_of(*read), why) == read);
}

void fuzz_frame(std::span<const std::byte> input) {
    const auto frame = joining::decode_join_frame(input);
    if (!frame) return;
    const auto bytes = joining::encode(*frame);
    require(bytes.size() <= input.size());
    require(std::equal(bytes.begin(), bytes.end(), input.begin()));
}

void fuzz_devices(std::span<const std::byte> input) {
    const auto frame = messages::decode_device_frame(input);
    if (!frame) return;
    const auto back = messages::decode_device_frame(messages::encode(*frame));
    require(back && back->body == frame->body);
    const auto* ring = std::get_if<messages::KeyRing>(&frame->body);
    if (ring == nullptr) return;
    const messages::KeyRing own{3, {{1}, {2}}, {{{7}, 1, true}}};
    const messages::KeyRing together = merged(own, *ring);
    require(together.keys.size() <= messages::kMaxKeys);
    require(together.marks.size() <= messages::kMaxMarks);
    require(!together.keys.empty());
    require(merged(together, own) == together);
}

void fuzz_book(const std::string& text) {
    const DeviceBook book = DeviceBook::parse(text);
    require(book.devices().size() <= DeviceBook::kMaxDevices);
    require(DeviceBook::parse(book.text()).text() == book.text());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const int started = sodium_init();
    require(started >= 0);
    const std::string text(reinterpret_cast<const char*>(data), size);
    const auto input = std::as_bytes(std::span(data, size));
    fuzz_line(text);
    // The checks before the checksum, for most lines.
    fuzz_line("shoal-join1-" + text);
    fuzz_frame(input);
    fuzz_devices(input);
    fuzz_book(text);
    fuzz_book("shoal-devices 1\n" + text);
    return 0;
}
