#include "mesh/messages/plan.hpp"

#include <stdexcept>

#include "mesh/messages/device_profile_fields.hpp"
#include "mesh/messages/record_reader.hpp"
#include "mesh/messages/record_writer.hpp"
#include "mesh/messages/warning_fields.hpp"

namespace shoal::mesh::messages {

template <>
struct EnumRange<Fault> {
    static constexpr Fault first = Fault::none, last = Fault::peers;
};

template <typename F, Of<PlanRef> S>
void fields(F&& f, S& s) {
    f(0, "counter", s.counter);
    f(1, "candidate", s.candidate);
    f(2, "number", s.number);
}

template <typename F, Of<PlanDevice> S>
void fields(F&& f, S& s) {
    f(0, "id", s.id);
    f(1, "public_key", s.public_key);
    f(2, "endpoint", s.endpoint, kMaxText);
    f(3, "q_begin", s.slice.q_heads.begin);
    f(4, "q_end", s.slice.q_heads.end);
    f(5, "kv_begin", s.slice.kv_heads.begin);
    f(6, "kv_end", s.slice.kv_heads.end);
    f(7, "ffn_begin", s.slice.ffn.begin);
    f(8, "ffn_end", s.slice.ffn.end);
    f(9, "vocab_begin", s.slice.vocab.begin);
    f(10, "vocab_end", s.slice.vocab.end);
    f(11, "row_share", s.row_share);
    f(12, "whole_bytes", s.whole_bytes);
    f(13, "wants_file", s.wants_file);
}

template <typename F, Of<PlanOffer> S>
void fields(F&& f, S& s) {
    f(0, "plan", s.plan);
    f(1, "model", s.model);
    f(2, "model_name", s.model_name, kMaxText);
    f(3, "file_bytes", s.file_bytes);
    f(4, "kv_type", s.kv_type, kMaxText);
    f(5, "collectives", s.collectives, kMaxText);
    f(6, "kv_positions", s.kv_positions);
    f(7, "max_rows", s.max_rows);
    f(8, "max_outputs", s.max_outputs);
    f(9, "devices", s.devices, kMaxPlanDevices);
    f(10, "scatter_rows", s.scatter_rows);
    f(11, "sequence_rows", s.sequence_rows);
    f(12, "overlap", s.overlap);
}

template <typename F, Of<PlanProgress> S>
void fields(F&& f, S& s) {
    f(0, "plan", s.plan);
    f(1, "what", s.what, kMaxText);
    f(2, "done", s.done);
    f(3, "total", s.total);
}

template <typename F, Of<PlanLoaded> S>
void fields(F&& f, S& s) {
    f(0, "plan", s.plan);
    f(1, "weight_bytes", s.weight_bytes);
    f(2, "planned_weight_bytes", s.planned_weight_bytes);
    f(3, "kv_bytes", s.kv_bytes);
    f(4, "buffer_bytes", s.buffer_bytes);
    f(5, "keeps_blocks", s.keeps_blocks);
}

template <typename F, Of<PlanStart> S>
void fields(F&& f, S& s) {
    f(0, "plan", s.plan);
    f(1, "run", s.run);
    f(2, "keeps_blocks", s.keeps_blocks);
}

template <typename F, Of<PlanEnd> S>
void fields(F&& f, S& s) {
    f(0, "plan", s.plan);
    f(1, "error", s.error, kMaxText);
    f(2, "fault", s.fault);
    f(3, "peers", s.peers, kMaxPlanDevices);
}

template <typename F, Of<PieceRequest> S>
void fields(F&& f, S& s) {
    f(0, "model", s.model);
    f(1, "tensor", s.tensor, kMaxTensorName);
    f(2, "row_begin", s.row_begin);
    f(3, "row_end", s.row_end);
    f(4, "col_begin", s.col_begin);
    f(5, "col_end", s.col_end);
    f(6, "offset", s.offset);
    f(7, "bytes", s.bytes);
}

template <typename F, Of<PieceReply> S>
void fields(F&& f, S& s) {
    f(0, "data", s.data, kMaxPieceBytes);
    f(1, "total", s.total);
    f(2, "error", s.error, kMaxText);
}

template <typename F, Of<AnnouncedModel> S>
void fields(F&& f, S& s) {
    f(0, "hash", s.hash);
    f(1, "name", s.name, kMaxText);
    f(2, "architecture", s.architecture, kMaxText);
    f(3, "quantisation", s.quantisation, kMaxText);
    f(4, "file_bytes", s.file_bytes);
    f(5, "parameters", s.parameters);
    f(6, "context", s.context);
}

template <typename F, Of<AnnouncedProblem> S>
void fields(F&& f, S& s) {
    f(0, "name", s.name, kMaxText);
    f(1, "reason", s.reason, kMaxText);
}

template <typename F, Of<Announcement> S>
void fields(F&& f, S& s) {
    f(0, "models", s.models, kMaxAnnouncedModels);
    f(1, "reading", s.reading);
    f(64, "warnings", s.warnings, kMaxWarnings);
    f(65, "sees", s.sees, kMaxPlanDevices);
    f(66, "plan", s.plan);
    f(67, "steps", s.steps);
    f(68, "compute_seconds", s.compute_seconds);
    f(69, "problems", s.problems, kMaxAnnouncedProblems);
    f(70, "profile", s.profile);
    f(71, "link_port", s.link_port);
}

template <typename F, Of<LinkEnd> S>
void fields(F&& f, S& s) {
    f(0, "id", s.id);
    f(1, "public_key", s.public_key);
    f(2, "port", s.port);
}

template <typename F, Of<LinkTest> S>
void fields(F&& f, S& s) {
    f(0, "test", s.test);
    f(1, "ends", s.ends, kMaxLinkEnds);
}

template <typename F, Of<LinkResult> S>
void fields(F&& f, S& s) {
    f(0, "test", s.test);
    f(1, "error", s.error, kMaxText);
    f(2, "exchange_seconds", s.exchange_seconds);
    f(3, "out_bytes_per_second", s.out_bytes_per_second);
    f(4, "in_bytes_per_second", s.in_bytes_per_second);
    f(5, "transport", s.transport, kMaxText);
    f(6, "cipher", s.cipher, kMaxText);
}

template <typename F, Of<FileRequest> S>
void fields(F&& f, S& s) {
    f(0, "model", s.model);
    f(1, "part", s.part);
    f(2, "offset", s.offset);
    f(3, "bytes", s.bytes);
}

template <typename F, Of<FileReply> S>
void fields(F&& f, S& s) {
    f(0, "data", s.data, kMaxPieceBytes);
    f(1, "total", s.total);
    f(2, "parts", s.parts);
    f(3, "busy", s.busy);
    f(4, "error", s.error, kMaxText);
}

namespace {

constexpr std::array kPlanNames{"offer",     "progress",      "loaded",       "start",
                                "end",       "piece_request", "piece_reply",  "models",
                                "link_test", "link_result",   "file_request", "file_reply"};
static_assert(kPlanNames.size() == std::variant_size_v<PlanMessage>);

}  // namespace

std::vector<std::byte> encode(const PlanFrame& frame) {
    std::string beyond;
    auto bytes = encode_frame(frame, beyond);
    if (!beyond.empty()) throw std::length_error("plan message too large: " + beyond);
    return bytes;
}

DecodeResult<PlanFrame> decode_plan(std::span<const std::byte> bytes) noexcept {
    return decode_safely<PlanFrame>(bytes, kPlanNames);
}

}  // namespace shoal::mesh::messages
