#include "mesh/messages/requests.hpp"

#include <array>
#include <stdexcept>

#include "mesh/messages/record_reader.hpp"
#include "mesh/messages/record_writer.hpp"
#include "mesh/messages/request_fields.hpp"

namespace shoal::mesh::messages {
namespace {

constexpr std::array kRequestNames{
    "generate", "tokenize", "detokenize", "status", "models",  "load",   "cancel", "bench", "plan",
    "describe", "invite",   "join",       "leave",  "devices", "rename", "forget", "unload"};
constexpr std::array kEventNames{"progress",     "token",         "done",          "failed",
                                 "tokens",       "text",          "models_reply",  "status_reply",
                                 "bench_reply",  "plan_reply",    "prompt_tokens", "describe_reply",
                                 "invite_reply", "cluster_reply", "devices_reply"};
static_assert(kRequestNames.size() == std::variant_size_v<Request>);
static_assert(kEventNames.size() == std::variant_size_v<Event>);
static_assert(kMaxRequestBytes == kMaxFrameBytes && kMaxPromptTokens == kMaxArrayEntries);

}  // namespace

bool is_final(const Event& event) noexcept {
    return !std::holds_alternative<Progress>(event) && !std::holds_alternative<Token>(event) &&
           !std::holds_alternative<PromptTokens>(event);
}

std::vector<std::byte> encode(const RequestFrame& frame) {
    std::string beyond;
    auto bytes = encode_frame(frame, beyond);
    if (!beyond.empty()) throw std::length_error("request too large: " + beyond);
    return bytes;
}

std::vector<std::byte> encode(const EventFrame& frame) {
    std::string beyond;
    auto bytes = encode_frame(frame, beyond);
    if (beyond.empty()) return bytes;
    const Failed failed{ErrorCode::too_large, "the answer is too large: " + beyond};
    return encode_frame(EventFrame{frame.id, failed, frame.attempt}, beyond);
}

DecodeResult<RequestFrame> decode_request(std::span<const std::byte> bytes) noexcept {
    return decode_safely<RequestFrame>(bytes, kRequestNames);
}

DecodeResult<EventFrame> decode_event(std::span<const std::byte> bytes) noexcept {
    return decode_safely<EventFrame>(bytes, kEventNames);
}

}  // namespace shoal::mesh::messages
