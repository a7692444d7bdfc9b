#include "cli/json.hpp"

#include <nlohmann/json.hpp>

#include "cli/exit_codes.hpp"
#include "cli/plan_report.hpp"

namespace shoal::cli {
namespace messages = mesh::messages;
namespace {

// Keys in the order in which they are written, for readers.
using Json = nlohmann::ordered_json;

Json body(const messages::Progress& p) {
    return {{"event", "progress"}, {"what", p.what}, {"done", p.done}, {"total", p.total}};
}

/// What only answers of chats have.
void add_chat(Json& json, const std::string& reasoning,
              const std::vector<messages::ToolCall>& calls) {
    if (!reasoning.empty()) json["reasoning"] = reasoning;
    if (calls.empty()) return;
    for (const auto& c : calls) {
        json["calls"].push_back({{"id", c.id}, {"name", c.name}, {"arguments", c.arguments}});
    }
}

Json body(const messages::Token& t) {
    Json json{{"event", "token"}, {"index", t.index}, {"id", t.id}, {"text", t.text}};
    add_chat(json, t.reasoning, t.calls);
    return json;
}

Json body(const messages::Done& d) {
    Json json{{"event", "done"},
              {"reason", name(d.reason)},
              {"text", d.text},
              {"model", d.model},
              {"devices", d.devices},
              {"prompt_tokens", d.prompt_tokens},
              {"cached_tokens", d.cached_tokens},
              {"generated_tokens", d.generated_tokens},
              {"load_seconds", d.load_seconds},
              {"queue_seconds", d.queue_seconds},
              {"prefill_seconds", d.prefill_seconds},
              {"decode_seconds", d.decode_seconds}};
    if (d.reasoning_tokens > 0) json["reasoning_tokens"] = d.reasoning_tokens;
    add_chat(json, d.reasoning, d.calls);
    return json;
}

Json body(const messages::Failed& f) {
    return {{"event", "error"}, {"code", name(f.code)}, {"message", f.message}};
}

Json body(const messages::TokenizeReply& t) {
    return {{"event", "tokens"}, {"ids", t.ids}, {"pieces", t.pieces}};
}

Json body(const messages::DetokenizeReply& d) {
    return {{"event", "text"}, {"text", d.text}};
}

Json body(const messages::ModelsReply& reply, const Fits& fits = {}) {
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
        if (!m.path.empty()) models.back()["path"] = m.path;
        if (!m.problem.empty()) models.back()["problem"] = m.problem;
        const auto fit = fits.find(m.hash);
        if (fit != fits.end()) models.back()["fits_context"] = fit->second;
    }
    return {{"event", "models"}, {"models", models}, {"reading_models", reply.reading_models}};
}

Json body(const messages::DescribeReply& d) {
    return {{"event", "model"},
            {"name", d.info.name},
            {"hash", d.info.hash},
            {"architecture", d.info.architecture},
            {"quantisation", d.info.quantisation},
            {"context", d.info.context},
            {"chat_template", d.chat_template},
            {"thinks", d.thinks},
            {"calls_tools", d.calls_tools},
            {"fills_in", d.fills_in}};
}

Json body(const messages::PromptTokens& p) {
    Json tokens = Json::array();
    for (const auto& t : p.tokens) tokens.push_back({{"id", t.id}, {"text", t.text}});
    return {{"event", "prompt"}, {"first", p.first}, {"tokens", tokens}};
}

Json range(const messages::Range& r) {
    return Json::array({r.begin, r.end});
}

Json link(const messages::LinkInfo& l) {
    return {{"transport", l.transport},     {"cipher", l.cipher},
            {"sent_bytes", l.sent_bytes},   {"received_bytes", l.received_bytes},
            {"resent", l.resent},           {"asked", l.asked},
            {"collectives", l.collectives}, {"wait_p50_us", l.wait_p50_us},
            {"wait_p99_us", l.wait_p99_us}};
}

Json device(const messages::DeviceInfo& d) {
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
            {"q_heads", range(d.slice.q_heads)},
            {"kv_heads", range(d.slice.kv_heads)},
            {"ffn_columns", range(d.slice.ffn)},
            {"vocab_rows", range(d.slice.vocab)},
            {"memory_total", d.memory_total},
            {"memory_available", d.memory_available},
            {"weight_bytes", d.weight_bytes},
            {"planned_weight_bytes", d.planned_weight_bytes},
            {"kv_bytes", d.kv_bytes},
            {"round_trip_ms", d.round_trip_ms < 0 ? Json() : Json(d.round_trip_ms)},
            {"link", d.link.transport.empty() ? Json() : link(d.link)}};
}

Json warning(const messages::Warning& w) {
    return {{"name", w.name},
            {"severity", name(w.severity)},
            {"device", w.device},
            {"text", w.text},
            {"remedy", w.remedy}};
}

Json measured(const messages::MeasuredLink& l) {
    return {{"devices", {l.first, l.second}},
            {"exchange_us", l.exchange_seconds * 1e6},
            {"bytes_per_second", {l.there_bytes_per_second, l.back_bytes_per_second}},
            {"measured", l.date},
            {"addresses", {l.first_address, l.second_address}},
            {"transport", l.transport},
            {"cipher", l.cipher}};
}

Json loaded(const messages::LoadedModel& m) {
    return {{"name", m.name},
            {"hash", m.hash},
            {"weight_bytes", m.weight_bytes},
            {"kv_bytes", m.kv_bytes},
            {"context", m.context},
            {"at_work", m.at_work},
            {"pinned", m.pinned},
            {"unloads_after", m.unloads_after < 0 ? Json() : Json(m.unloads_after)}};
}

Json body(const messages::StatusReply& s) {
    Json models = Json::array();
    for (const auto& m : s.loaded) models.push_back(loaded(m));
    Json devices = Json::array();
    for (const auto& d : s.devices) devices.push_back(device(d));
    Json warnings = Json::array();
    for (const auto& w : s.warnings) warnings.push_back(warning(w));
    Json links = Json::array();
    for (const auto& l : s.links) links.push_back(measured(l));
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
            {"parallel", s.parallel},
            {"preemptions", s.preemptions},
            {"prompt_tokens", s.prompt_tokens},
            {"cached_tokens", s.cached_tokens},
            {"cache_use", s.cache_use},
            {"reading_models", s.reading_models},
            {"loaded", models},
            {"devices", devices},
            {"links", links},
            {"warnings", warnings}};
}

Json rates(const messages::ProductRates& r) {
    return {{"one_row", r.one_row}, {"many_rows", r.many_rows}, {"in_file", r.in_file}};
}

Json body(const messages::BenchReply& b) {
    const messages::DeviceProfile& p = b.profile;
    return {{"event", "bench"},
            {"origin", name(b.origin)},
            {"date", b.date},
            {"cpu", b.cpu},
            {"isa", b.isa},
            {"threads", b.threads},
            {"cpus", b.cpus},
            {"memory_total", b.memory_total},
            {"version", b.version},
            {"not_stored", b.not_stored},
            {"products",
             {{"f32", rates(p.f32)},
              {"f16", rates(p.f16)},
              {"q8", rates(p.q8)},
              {"q4", rates(p.q4)},
              {"k", rates(p.k)}}},
            {"attend_one", p.attend_one},
            {"attend_many", p.attend_many},
            {"elements", p.elements},
            {"layer_seconds", p.layer_seconds}};
}

Json body(const messages::InviteReply& i) {
    return {{"event", "invitation"},
            {"invitation", i.invitation},
            {"seconds", i.seconds},
            {"cluster", i.cluster},
            {"addresses", i.addresses}};
}

Json body(const messages::ClusterReply& c) {
    return {{"event", "cluster"},
            {"cluster", c.cluster},
            {"devices", c.devices},
            {"warning", c.warning}};
}

Json body(const messages::DevicesReply& reply) {
    Json devices = Json::array();
    for (const auto& d : reply.devices) {
        devices.push_back({{"id", d.id},
                           {"name", d.name},
                           {"address", d.address},
                           {"version", d.version},
                           {"since", d.since},
                           {"seen", d.seen},
                           {"self", d.self},
                           {"online", d.online}});
    }
    return {{"event", "devices"}, {"cluster", reply.cluster}, {"devices", devices}};
}

Json body(const messages::PlanReply& p) {
    return Json::parse(plan_json(report_of(p)));
}

std::string line(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace

std::string json_line(const messages::Event& event) {
    return std::visit([](const auto& alternative) { return line(body(alternative)); }, event);
}

std::string json_line(const messages::ModelsReply& models, const Fits& fits) {
    return line(body(models, fits));
}

std::string json_error_line(int exit_code, const std::string& message) {
    const char* code = exit_code == kUnreachable ? "unreachable"
                       : exit_code == kUsage     ? "bad_request"
                       : exit_code == kNotFound  ? "not_found"
                                                 : "failed";
    return line(Json{{"event", "error"}, {"code", code}, {"message", message}});
}

const char* name(messages::ErrorCode code) noexcept {
    switch (code) {
        case messages::ErrorCode::bad_request:
            return "bad_request";
        case messages::ErrorCode::not_found:
            return "not_found";
        case messages::ErrorCode::busy:
            return "busy";
        case messages::ErrorCode::too_large:
            return "too_large";
        case messages::ErrorCode::unavailable:
            return "unavailable";
        case messages::ErrorCode::internal:
            return "internal";
        case messages::ErrorCode::cancelled:
            return "cancelled";
        case messages::ErrorCode::forbidden:
            return "forbidden";
        case messages::ErrorCode::context_length:
            return "context_length";
    }
    return "unknown";
}

const char* name(messages::ProfileOrigin origin) noexcept {
    switch (origin) {
        case messages::ProfileOrigin::guessed:
            return "guessed";
        case messages::ProfileOrigin::measured:
            return "measured";
        case messages::ProfileOrigin::given:
            return "given";
    }
    return "unknown";
}

const char* name(messages::StopReason reason) noexcept {
    switch (reason) {
        case messages::StopReason::end:
            return "end";
        case messages::StopReason::length:
            return "length";
        case messages::StopReason::stop:
            return "stop";
        case messages::StopReason::cancelled:
            return "cancelled";
    }
    return "unknown";
}

}  // namespace shoal::cli
