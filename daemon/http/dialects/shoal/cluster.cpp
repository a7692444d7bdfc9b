// GET /v1/cluster and /health: what StatusReply says.
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "daemon/http/accept.hpp"
#include "daemon/http/dialects/openai/openai.hpp"
#include "daemon/http/dialects/shoal/shoal.hpp"
#include "daemon/http/json_output.hpp"
#include "daemon/http/sse.hpp"

namespace shoal::http::native {
namespace {

using namespace mesh::messages;

Json range(const Range& r) {
    return Json::array({r.begin, r.end});
}

Json link(const LinkInfo& l) {
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

Json links(const std::vector<MeasuredLink>& list) {
    Json out = Json::array();
    for (const auto& l : list) {
        out.push_back({{"devices", {l.first, l.second}},
                       {"exchange_us", l.exchange_seconds * 1e6},
                       {"bytes_per_second", {l.there_bytes_per_second, l.back_bytes_per_second}},
                       {"measured", l.date},
                       {"addresses", {l.first_address, l.second_address}},
                       {"transport", l.transport},
                       {"cipher", l.cipher}});
    }
    return out;
}

Json loaded(const std::vector<LoadedModel>& models) {
    Json out = Json::array();
    for (const LoadedModel& m : models) {
        out.push_back({{"name", m.name},
                       {"hash", m.hash},
                       {"weight_bytes", m.weight_bytes},
                       {"kv_bytes", m.kv_bytes},
                       {"context", m.context},
                       {"at_work", m.at_work},
                       {"pinned", m.pinned}});
    }
    return out;
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

Json cluster_json(const StatusReply& s) {
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
                {"loaded", loaded(s.loaded)},
                {"devices", std::move(devices)},
                {"links", links(s.links)},
                {"warnings", warnings(s.warnings)}};
    if (!s.root.empty()) out["root"] = s.root;
    if (!s.model.empty()) {
        out["model"] = {{"name", s.model},
                        {"hash", s.model_hash},
                        {"context", s.context},
                        {"kv_type", s.kv_type},
                        {"collectives", s.collectives}};
    }
    return out;
}

/// Cluster, as a stream that says it whenever it is another one.
class WatchedCluster : public Exchange {
  public:
    WatchedCluster() : Exchange(openai::kDialect) {}

    Request request(std::size_t) const override { return StatusRequest{}; }
    const char* stream_type() const noexcept override { return kEventStreamType; }
    bool generates() const noexcept override { return true; }
    std::chrono::milliseconds repeats() const noexcept override { return std::chrono::seconds(1); }
    Written event(std::size_t, const Event& event) override {
        const auto* reply = std::get_if<StatusReply>(&event);
        if (reply == nullptr) return unexpected_event();
        std::string now = dump(cluster_json(*reply));
        if (now == last_)
            return ++same_ % kSameUntilComment == 0 ? ": the same\n\n" : std::string();
        same_ = 0;
        last_ = std::move(now);
        return sse_event(last_);
    }
    Answer end() override { return {}; }

  private:
    /// So often nothing is said; then the system learns whether the client is still there.
    static constexpr unsigned kSameUntilComment = 15;

    std::string last_;
    unsigned same_ = 0;
};

/// One StatusReply.
class Status : public Exchange {
  public:
    Status() : Exchange(openai::kDialect) {}

    Request request(std::size_t) const override { return StatusRequest{}; }
    Written event(std::size_t, const Event& event) override {
        const auto* reply = std::get_if<StatusReply>(&event);
        if (reply == nullptr) return unexpected_event();
        answer_ = answer(*reply);
        return {};
    }
    Answer end() override { return std::move(answer_); }

  private:
    virtual Answer answer(const StatusReply& status) const = 0;

    Answer answer_;
};

class Cluster : public Status {
    Answer answer(const StatusReply& status) const override {
        return {200, dump(cluster_json(status))};
    }
};

class Health : public Status {
  public:
    /// For programs that only look whether it is well, in the same form.
    Answer refuse(const ApiError& error) override {
        return {503, dump({{"status", "unavailable"}, {"reason", error.message}}),
                retry_after(error)};
    }

  private:
    Answer answer(const StatusReply& status) const override {
        const bool ok = !status.root.empty();
        Json out = {{"status", ok ? "ok" : "unavailable"}};
        if (!ok) out["reason"] = "no root is elected; the devices are still finding each other";
        out["reading_models"] = status.reading_models;
        out["warnings"] = warnings(status.warnings);
        return {ok ? 200U : 503U, dump(out), ok ? 0U : 1U};
    }
};

}  // namespace

Understood cluster(const Call& call) {
    if (names_type(call.accept, kEventStreamType)) return std::make_unique<WatchedCluster>();
    return std::make_unique<Cluster>();
}

Understood health(const Call&) {
    return std::make_unique<Health>();
}

}  // namespace shoal::http::native
