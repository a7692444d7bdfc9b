// Whatever arrives on a control socket or channel: decoding never crashes, and what was accepted
// can be validated, encoded and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "mesh/messages/requests.hpp"

using namespace shoal::mesh::messages;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    if (const auto request = decode_request(bytes)) {
        for (Door door : {Door::control, Door::mesh, Door::http}) {
            (void)validate(request->body, door);
        }
        const auto again = decode_request(encode(*request));
        if (!again || encode(*again) != encode(*request)) std::abort();
    }
    if (const auto event = decode_event(bytes)) {
        (void)is_final(event->body);
        const auto again = decode_event(encode(*event));
        if (!again || encode(*again) != encode(*event)) std::abort();
    }
    return 0;
}
