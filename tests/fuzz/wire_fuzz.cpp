// Beacons and control messages from outside: nothing crashes, nothing large is allocated, and what
// was decoded encodes to what decodes to the same.
#include <sodium.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "mesh/discovery/discovery.hpp"
#include "mesh/membership/membership.hpp"
#include "mesh/wire/beacon.hpp"
#include "mesh/wire/control.hpp"

using namespace shoal::mesh;

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

void fuzz_control(std::span<const std::byte> input) {
    const auto first = wire::decode_control(input);
    if (!first) return;
    auto bytes = wire::encode(*first);
    if (const auto* application = std::get_if<wire::Application>(&*first)) {
        bytes.insert(bytes.end(), application->body.begin(), application->body.end());
    }
    // Bytes behind the last known field are ignored, so the encoding may be shorter.
    require(bytes.size() <= input.size());
    require(std::equal(bytes.begin(), bytes.end(), input.begin()));
    require(static_cast<bool>(wire::decode_control(bytes)));
}

/// A member that says anything: the state machine must stay sane.
void fuzz_membership(std::span<const std::byte> input) {
    DeviceId self, other;
    other.bytes[0] = 1;
    membership::Time now{std::chrono::hours(1)};
    std::uint64_t next_session = 1;
    membership::Membership machine(
        self, 1, {}, {}, [&] { return next_session++; }, now);
    membership::Actions actions;
    machine.found({other, {}, 1, "10.0.0.1", 1, 1}, now, actions);
    machine.received(other, wire::Hello{7, 1, {}, {}, 1}, now, actions);
    // The input is a sequence of messages: a length of two bytes each.
    while (input.size() > 2) {
        const auto length = std::min<std::size_t>(
            std::to_integer<std::size_t>(input[0]) | std::to_integer<std::size_t>(input[1]) << 8,
            input.size() - 2);
        const auto message = wire::decode_control(input.subspan(2, length));
        input = input.subspan(2 + length);
        now += std::chrono::milliseconds(100);
        if (!message) continue;
        if (const auto* application = std::get_if<wire::Application>(&*message)) {
            (void)machine.accept(other, *application, now, actions);
        } else {
            machine.received(other, *message, now, actions);
        }
        machine.tick(now, actions);
        require(machine.peers().size() <= 1);
        require(actions.size() < 10000);
        actions.clear();
    }
}

void fuzz_beacon(std::span<const std::byte> input) {
    static const wire::BeaconKey key{};
    const discovery::Time now{std::chrono::hours(1)};
    discovery::Discovery machine(
        {{}, 1, 1}, key, {}, [](std::span<std::uint8_t>) {},
        [](const DeviceId&, std::uint64_t) { return false; }, now);
    discovery::Discovery::Output out;
    machine.received(input, {"10.0.0.1", 1}, now, out);
    // Nobody finds the MAC by chance, so the fields are also tried with a true one.
    require(out.send.empty() && out.sighted.empty());
    if (const auto beacon = wire::decode_beacon(input)) {
        const auto bytes = wire::encode(*beacon, key);
        require(*wire::decode_beacon(bytes) == *beacon);
        machine.received(bytes, {"10.0.0.1", 1}, now, out);
        require(out.sighted.empty());  // It cannot quote a nonce of ours: there is none.
        require(out.send.size() <= 1);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const int started = sodium_init();
    require(started >= 0);
    const auto input = std::as_bytes(std::span(data, size));
    fuzz_control(input);
    fuzz_membership(input);
    fuzz_beacon(input);
    return 0;
}
