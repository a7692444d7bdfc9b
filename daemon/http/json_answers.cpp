#include "daemon/http/json_answers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace shoal::http {
namespace {

using namespace mesh::messages;
// Keeps the order in which the members are written here, for those who read answers.
using Json = nlohmann::ordered_json;

/// A text may end in the middle of a character or come from a broken model.
std::string dump(const Json& value) {
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
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

Json completion(const CompletionHead& head, const std::string& model) {
    return {{"id", head.id},
            {"object", "text_completion"},
            {"created", head.created},
            {"model", model}};
}

Json choice(std::size_t index, const std::string& text, Json reason) {
    return {{"index", index},
            {"text", text},
            {"logprobs", nullptr},
            {"finish_reason", std::move(reason)}};
}

Json usage(const Done& done) {
    return {{"prompt_tokens", done.prompt_tokens},
            {"completion_tokens", done.generated_tokens},
            {"total_tokens", std::uint64_t{done.prompt_tokens} + done.generated_tokens}};
}

Json timings(const Done& done) {
    return {{"load_seconds", done.load_seconds},
            {"queue_seconds", done.queue_seconds},
            {"prefill_seconds", done.prefill_seconds},
            {"decode_seconds", done.decode_seconds},
            {"devices", done.devices}};
}

Json range(const Range& r) {
    return Json::array({r.begin, r.end});
}

Json link(const mesh::messages::LinkInfo& l) {
    return {{"transport", l.transport},     {"cipher", l.cipher},
            {"sent_bytes", l.sent_bytes},   {"received_bytes", l.received_bytes},
            {"resent", l.resent},           {"asked", l.asked},
            {"collectives", l.collectives}, {"wait_p50_us", l.wait_p50_us},
            {"wait_p99_us", l.wait_p99_us}};
}

Json device(const DeviceInfo& d) {
    Json out = {{"id", d.id},
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
                {"link", nullptr},
                {"memory", {{"total", d.memory_total}, {"available", d.memory_available}}},
                {"slice",
                 {{"q_heads", range(d.slice.q_heads)},
                  {"kv_heads", range(d.slice.kv_heads)},
                  {"ffn_columns", range(d.slice.ffn)},
                  {"vocab_rows", range(d.slice.vocab)},
                  {"weight_bytes", d.weight_bytes},
                  {"planned_weight_bytes", d.planned_weight_bytes},
                  {"kv_bytes", d.kv_bytes}}}};
    if (d.rank >= 0) out["rank"] = d.rank;
    if (d.round_trip_ms >= 0) out["round_trip_ms"] = d.round_trip_ms;
    if (!d.link.transport.empty()) out["link"] = link(d.link);
    return out;
}

Json model(const ModelInfo& m) {
    return {{"id", m.name},
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
            {"devices", m.devices}};
}

Json warnings(const std::vector<Warning>& list) {
    Json out = Json::array();
    for (const Warning& w : list) {
        Json one = {{"name", w.name},
                    {"severity", name(w.severity)},
                    {"device", nullptr},
                    {"text", w.text},
                    {"remedy", w.remedy}};
        if (!w.device.empty()) one["device"] = w.device;
        out.push_back(std::move(one));
    }
    return out;
}

}  // namespace

std::string completion_json(const CompletionHead& head, const std::vector<Choice>& choices,
                            const Done& total) {
    Json out = completion(head, total.model.empty() ? head.model : total.model);
    Json& list = out["choices"] = Json::array();
    for (const Choice& c : choices) {
        list.push_back(choice(list.size(), c.text, finish_reason(c.reason)));
    }
    out["usage"] = usage(total);
    out["timings"] = timings(total);
    return dump(out);
}

std::string sse_text(const CompletionHead& head, std::size_t index, const std::string& text) {
    Json out = completion(head, head.model);
    out["choices"] = Json::array({choice(index, text, nullptr)});
    if (head.include_usage) out["usage"] = nullptr;
    return event(dump(out));
}

std::string sse_end(const CompletionHead& head, std::size_t index, const Done& done) {
    Json out = completion(head, done.model.empty() ? head.model : done.model);
    out["choices"] = Json::array({choice(index, done.text, finish_reason(done.reason))});
    if (head.include_usage) out["usage"] = nullptr;
    out["timings"] = timings(done);
    return event(dump(out));
}

std::string sse_last(const CompletionHead& head, const Done& total) {
    if (!head.include_usage) return kDone;
    Json out = completion(head, total.model.empty() ? head.model : total.model);
    out["choices"] = Json::array();
    out["usage"] = usage(total);
    return event(dump(out)) + kDone;
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
    // A million of them as JSON values would take a hundred megabytes on their way.
    return fmt::format("{{\"tokens\":[{}]}}", fmt::join(reply.ids, ","));
}

std::string text_json(const DetokenizeReply& reply) {
    return dump({{"content", reply.text}});
}

std::string models_json(const ModelsReply& reply) {
    Json data = Json::array();
    for (const ModelInfo& m : reply.models) {
        // Programs choose from the list.
        if (m.problem.empty()) data.push_back(model(m));
    }
    return dump({{"object", "list"}, {"data", std::move(data)}});
}

std::optional<std::string> model_json(const ModelsReply& reply, const std::string& name) {
    for (const ModelInfo& m : reply.models) {
        if (m.name == name || m.hash == name || m.name + ".gguf" == name) return dump(model(m));
    }
    return std::nullopt;
}

std::string cluster_json(const StatusReply& s) {
    Json devices = Json::array();
    for (const DeviceInfo& d : s.devices) devices.push_back(device(d));
    Json out = {{"version", s.version},
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
                {"reading_models", s.reading_models},
                {"devices", std::move(devices)},
                {"warnings", warnings(s.warnings)}};
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

std::string health_json(const StatusReply& status) {
    Json out = {{"status", "ok"}};
    if (status.root.empty()) {
        out["status"] = "unavailable";
        out["reason"] = "no root is elected; the devices are still finding each other";
    }
    out["reading_models"] = status.reading_models;
    out["warnings"] = warnings(status.warnings);
    return dump(out);
}

std::string unhealthy_json(const std::string& reason) {
    return dump({{"status", "unavailable"}, {"reason", reason}});
}

}  // namespace shoal::http
