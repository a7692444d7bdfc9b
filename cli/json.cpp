#include "cli/json.hpp"

#include <nlohmann/json.hpp>

#include "cli/exit_codes.hpp"

namespace shoal::cli {
namespace wire = mesh::wire;
namespace {

// Keys in the order in which they are written, for readers.
using Json = nlohmann::ordered_json;

Json body(const wire::Progress& p) {
    return {{"event", "progress"}, {"what", p.what}, {"done", p.done}, {"total", p.total}};
}

Json body(const wire::Token& t) {
    return {{"event", "token"}, {"index", t.index}, {"id", t.id}, {"text", t.text}};
}

Json body(const wire::Done& d) {
    return {{"event", "done"},
            {"reason", name(d.reason)},
            {"text", d.text},
            {"model", d.model},
            {"devices", d.devices},
            {"prompt_tokens", d.prompt_tokens},
            {"generated_tokens", d.generated_tokens},
            {"load_seconds", d.load_seconds},
            {"queue_seconds", d.queue_seconds},
            {"prefill_seconds", d.prefill_seconds},
            {"decode_seconds", d.decode_seconds}};
}

Json body(const wire::Failed& f) {
    return {{"event", "error"}, {"code", name(f.code)}, {"message", f.message}};
}

Json body(const wire::TokenizeReply& t) {
    return {{"event", "tokens"}, {"ids", t.ids}, {"pieces", t.pieces}};
}

Json body(const wire::DetokenizeReply& d) {
    return {{"event", "text"}, {"text", d.text}};
}

Json body(const wire::ModelsReply& reply) {
    Json models = Json::array();
    for (const auto& m : reply.models) {
        models.push_back({{"name", m.name},
                          {"hash", m.hash},
                          {"architecture", m.architecture},
                          {"quantisation", m.quantisation},
                          {"file_bytes", m.file_bytes},
                          {"parameters", m.parameters},
                          {"context", m.context},
                          {"loaded", m.loaded},
                          {"devices", m.devices}});
    }
    return {{"event", "models"}, {"models", models}};
}

Json range(const wire::RangeInfo& r) {
    return Json::array({r.begin, r.end});
}

Json device(const wire::DeviceInfo& d) {
    return {{"id", d.id},
            {"name", d.name},
            {"address", d.address},
            {"cpu", d.cpu},
            {"threads", d.threads},
            {"self", d.self},
            {"root", d.root},
            {"alive", d.alive},
            {"rank", d.rank},
            {"state", d.state},
            {"q_heads", range(d.q_heads)},
            {"kv_heads", range(d.kv_heads)},
            {"ffn_columns", range(d.ffn_columns)},
            {"vocab_rows", range(d.vocab_rows)},
            {"memory_total", d.memory_total},
            {"memory_available", d.memory_available},
            {"weight_bytes", d.weight_bytes},
            {"planned_weight_bytes", d.planned_weight_bytes},
            {"kv_bytes", d.kv_bytes},
            {"round_trip_ms", d.round_trip_ms < 0 ? Json() : Json(d.round_trip_ms)}};
}

Json body(const wire::StatusReply& s) {
    Json devices = Json::array();
    for (const auto& d : s.devices) devices.push_back(device(d));
    return {{"event", "status"},
            {"version", s.version},
            {"cluster", s.cluster},
            {"self", s.self},
            {"root", s.root},
            {"term", s.term},
            {"plan", s.plan},
            {"model", s.model},
            {"model_hash", s.model_hash},
            {"context", s.context},
            {"kv_type", s.kv_type},
            {"collectives", s.collectives},
            {"running", s.running},
            {"queued", s.queued},
            {"generated_tokens", s.generated_tokens},
            {"tokens_per_second", s.tokens_per_second},
            {"prefill_tokens_per_second", s.prefill_tokens_per_second},
            {"devices", devices}};
}

std::string line(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace

std::string json_line(const wire::Event& event) {
    return std::visit([](const auto& alternative) { return line(body(alternative)); }, event);
}

std::string json_error_line(int exit_code, const std::string& message) {
    const char* code = exit_code == kUnreachable ? "unreachable"
                       : exit_code == kUsage     ? "bad_request"
                       : exit_code == kNotFound  ? "not_found"
                                                 : "failed";
    return line(Json{{"event", "error"}, {"code", code}, {"message", message}});
}

const char* name(wire::ErrorCode code) noexcept {
    switch (code) {
        case wire::ErrorCode::bad_request:
            return "bad_request";
        case wire::ErrorCode::not_found:
            return "not_found";
        case wire::ErrorCode::busy:
            return "busy";
        case wire::ErrorCode::too_large:
            return "too_large";
        case wire::ErrorCode::unavailable:
            return "unavailable";
        case wire::ErrorCode::internal:
            return "internal";
        case wire::ErrorCode::cancelled:
            return "cancelled";
        case wire::ErrorCode::forbidden:
            return "forbidden";
    }
    return "unknown";
}

const char* name(wire::StopReason reason) noexcept {
    switch (reason) {
        case wire::StopReason::end:
            return "end";
        case wire::StopReason::length:
            return "length";
        case wire::StopReason::stop:
            return "stop";
        case wire::StopReason::cancelled:
            return "cancelled";
    }
    return "unknown";
}

}  // namespace shoal::cli
