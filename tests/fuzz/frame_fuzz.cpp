// Frames of the data plane: any bytes are refused or decoded, and what is decoded is what would
// have been encoded.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "mesh/exchange/frame.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace shoal::mesh::exchange;
    const auto bytes = std::as_bytes(std::span(data, size));
    FrameHeader header;
    if (decode(bytes, header) != FrameError::none) return 0;
    std::array<std::byte, kHeaderBytes> again{};
    encode(header, again);
    if (!std::equal(again.begin(), again.end(), bytes.begin())) std::abort();
    std::uint32_t to = 0;
    if (!parse_topic(bytes.first(kTopicBytes), header.plan, to) || to != header.to) std::abort();
    return 0;
}
