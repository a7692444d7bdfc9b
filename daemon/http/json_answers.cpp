#include "daemon/http/json_answers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace shoal::http {
namespace {

using namespace mesh::wire;
// Keeps the order in which the members are written here, for those who read answers.
using json = nlohmann::ordered_json;

/// A text may end in the middle of a character or come from a broken model.
std::string dump(const json& value) {
    return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string event(const std::string& data) {
    return "data: " + data + "\n\n";
}

constexpr char kDone[] = "data: [DONE]\n\n";

const char* finish_reason(StopReason reason) noexcept {
    switch (reason) {
        case StopReason::length:
            return "length";
        case StopReason::end:
        case StopReason::stop:
        case StopReason::cancelled:
            break;
    }
    return "stop";
}

json completion(const CompletionHead& head, const std::string& model) {
    return {{"id", head.id},
            {"object", "text_completion"},
            {"created", head.created},
            {"model", model}};
}

json choice(const std::string& text, json reason) {
    return {
        {"index", 0}, {"text", text}, {"logprobs", nullptr}, {"finish_reason", std::move(reason)}};
}

json usage(const Done& done) {
    return {{"prompt_tokens", done.prompt_tokens},
            {"completion_tokens", done.generated_tokens},
            {"total_tokens", std::uint64_t{done.prompt_tokens} + done.generated_tokens}};
}

json timings(const Done& done) {
    return {{"load_seconds", done.load_seconds},
            {"queue_seconds", done.queue_seconds},
            {"prefill_seconds", done.prefill_seconds},
            {"decode_seconds", done.decode_seconds},
            {"devices", done.devices}};
}

json range(const RangeInfo& r) {
    return json::array({r.begin, r.end});
}

json device(const DeviceInfo& d) {
    json out = {{"id", d.id},
                {"name", d.name},
                {"address", d.address},
                {"cpu", d.cpu},
                {"self", d.self},
                {"root", d.root},
                {"alive", d.alive},
                {"state", d.state},
                {"threads", d.threads},
                {"rank", nullptr},
                {"round_trip_ms", nullptr},
                {"memory", {{"total", d.memory_total}, {"available", d.memory_available}}},
                {"slice",
                 {{"q_heads", range(d.q_heads)},
                  {"kv_heads", range(d.kv_heads)},
                  {"ffn_columns", range(d.ffn_columns)},
                  {"vocab_rows", range(d.vocab_rows)},
                  {"weight_bytes", d.weight_bytes},
                  {"planned_weight_bytes", d.planned_weight_bytes},
                  {"kv_bytes", d.kv_bytes}}}};
    if (d.rank >= 0) out["rank"] = d.rank;
    if (d.round_trip_ms >= 0) out["round_trip_ms"] = d.round_trip_ms;
    return out;
}

}  // namespace

std::string completion_json(const CompletionHead& head, const std::string& text, const Done& done) {
    json out = completion(head, done.model.empty() ? head.model : done.model);
    out["choices"] = json::array({choice(text, finish_reason(done.reason))});
    out["usage"] = usage(done);
    out["timings"] = timings(done);
    return dump(out);
}

std::string sse_text(const CompletionHead& head, const std::string& text) {
    json out = completion(head, head.model);
    out["choices"] = json::array({choice(text, nullptr)});
    if (head.include_usage) out["usage"] = nullptr;
    return event(dump(out));
}

std::string sse_done(const CompletionHead& head, const Done& done) {
    const std::string& model = done.model.empty() ? head.model : done.model;
    json last = completion(head, model);
    last["choices"] = json::array({choice(done.text, finish_reason(done.reason))});
    if (head.include_usage) last["usage"] = nullptr;
    last["timings"] = timings(done);
    std::string out = event(dump(last));
    if (head.include_usage) {
        json counts = completion(head, model);
        counts["choices"] = json::array();
        counts["usage"] = usage(done);
        out += event(dump(counts));
    }
    return out + kDone;
}

std::string sse_error(const ApiError& error) {
    return event(error.json()) + kDone;
}

std::string sse_progress(const Progress& progress) {
    std::string what = progress.what;
    std::replace_if(
        what.begin(), what.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
    if (progress.total == 0) return fmt::format(": {}\n\n", what);
    return fmt::format(": {} {}/{}\n\n", what, progress.done, progress.total);
}

std::string tokens_json(const TokenizeReply& reply) {
    return dump({{"tokens", reply.ids}});
}

std::string text_json(const DetokenizeReply& reply) {
    return dump({{"content", reply.text}});
}

std::string models_json(const ModelsReply& reply) {
    json data = json::array();
    for (const ModelInfo& m : reply.models) {
        data.push_back({{"id", m.name},
                        {"object", "model"},
                        {"created", 0},
                        {"owned_by", "shoal"},
                        {"hash", m.hash},
                        {"architecture", m.architecture},
                        {"quantisation", m.quantisation},
                        {"file_bytes", m.file_bytes},
                        {"parameters", m.parameters},
                        {"context", m.context},
                        {"loaded", m.loaded},
                        {"devices", m.devices}});
    }
    return dump({{"object", "list"}, {"data", std::move(data)}});
}

std::string cluster_json(const StatusReply& s) {
    json devices = json::array();
    for (const DeviceInfo& d : s.devices) devices.push_back(device(d));
    json out = {{"version", s.version},
                {"cluster", s.cluster},
                {"self", s.self},
                {"root", nullptr},
                {"term", s.term},
                {"plan", s.plan},
                {"model", nullptr},
                {"requests", {{"running", s.running}, {"queued", s.queued}}},
                {"generated_tokens", s.generated_tokens},
                {"tokens_per_second", s.tokens_per_second},
                {"prefill_tokens_per_second", s.prefill_tokens_per_second},
                {"devices", std::move(devices)}};
    if (!s.root.empty()) out["root"] = s.root;
    if (!s.model.empty()) {
        out["model"] = {{"name", s.model},
                        {"hash", s.model_hash},
                        {"context", s.context},
                        {"kv_type", s.kv_type},
                        {"collectives", s.collectives}};
    }
    return dump(out);
}

std::string health_json(const std::string& reason) {
    if (reason.empty()) return dump({{"status", "ok"}});
    return dump({{"status", "unavailable"}, {"reason", reason}});
}

}  // namespace shoal::http
