// GET /metrics: what StatusReply says, and the answering device of itself, for Prometheus. What
// llama.cpp's server or vLLM count as well has their names, so that their dashboards show it.
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "daemon/http/dialects/openai/openai.hpp"
#include "daemon/http/dialects/shoal/device_metrics.hpp"
#include "daemon/http/dialects/shoal/exposition.hpp"
#include "daemon/http/dialects/shoal/shoal.hpp"

namespace shoal::http::native {
namespace {

using namespace mesh::messages;

void add_requests(Exposition& out, const StatusReply& s) {
    const auto model = [&](double value) { out.sample(value, {{"model_name", s.model}}); };
    out.metric("llamacpp:prompt_tokens_total", "counter", "Tokens of prompts that were computed.");
    out.sample(s.prompt_tokens - std::min(s.prompt_tokens, s.cached_tokens));
    out.metric("llamacpp:tokens_predicted_total", "counter", "Tokens that were generated.");
    out.sample(static_cast<double>(s.generated_tokens));
    out.metric("llamacpp:predicted_tokens_seconds", "gauge",
               "Tokens per second of the last or current generation.");
    out.sample(s.tokens_per_second);
    out.metric("llamacpp:prompt_tokens_seconds", "gauge",
               "Tokens per second of the last or current prompt.");
    out.sample(s.prefill_tokens_per_second);
    out.metric("llamacpp:requests_processing", "gauge", "Requests that are computed.");
    out.sample(s.running);
    out.metric("llamacpp:requests_deferred", "gauge", "Requests that wait.");
    out.sample(s.queued);
    out.metric("vllm:prompt_tokens_total", "counter", "Tokens of prompts that were begun.");
    model(static_cast<double>(s.prompt_tokens));
    out.metric("vllm:generation_tokens_total", "counter", "Tokens that were generated.");
    model(static_cast<double>(s.generated_tokens));
    out.metric("vllm:num_requests_running", "gauge", "Requests that are computed.");
    model(s.running);
    out.metric("vllm:num_requests_waiting", "gauge", "Requests that wait.");
    model(s.queued);
    out.metric("vllm:num_preemptions_total", "counter",
               "Requests that gave their room in the KV cache to others, to be computed again.");
    model(static_cast<double>(s.preemptions));
    out.metric("vllm:prefix_cache_queries_total", "counter", "Tokens of prompts that were begun.");
    model(static_cast<double>(s.prompt_tokens));
    out.metric("vllm:prefix_cache_hits_total", "counter",
               "Tokens of prompts whose K and V were in the cache already.");
    model(static_cast<double>(s.cached_tokens));
    out.metric("vllm:kv_cache_usage_perc", "gauge",
               "Part of the KV cache that requests have now, 0 to 1.");
    model(s.cache_use);
}

/// One metric of each device that is there, or of all.
template <typename Value>
void add_devices(Exposition& out, const StatusReply& s, const char* name, const char* help,
                 bool all, Value value) {
    out.metric(name, "gauge", help);
    for (const DeviceInfo& d : s.devices) {
        if (d.alive || all) {
            out.sample(static_cast<double>(value(d)), {{"device", d.id}, {"name", d.name}});
        }
    }
}

void add_devices(Exposition& out, const StatusReply& s) {
    using D = DeviceInfo;
    add_devices(out, s, "shoal_device_up", "1: the device is there; 0: it was lost lately.", true,
                [](const D& d) { return d.alive ? 1 : 0; });
    add_devices(out, s, "shoal_device_root", "1: the device leads.", false,
                [](const D& d) { return d.root ? 1 : 0; });
    add_devices(out, s, "shoal_device_rank", "Its rank in the plan; -1: none.", false,
                [](const D& d) { return d.rank; });
    add_devices(out, s, "shoal_device_memory_bytes", "Its memory.", false,
                [](const D& d) { return d.memory_total; });
    add_devices(out, s, "shoal_device_memory_available_bytes", "Memory that may still be taken.",
                false, [](const D& d) { return d.memory_available; });
    add_devices(out, s, "shoal_device_weight_bytes", "Weights that it holds.", false,
                [](const D& d) { return d.weight_bytes; });
    add_devices(out, s, "shoal_device_kv_cache_bytes", "KV cache that it holds.", false,
                [](const D& d) { return d.kv_bytes; });
}

void add_links(Exposition& out, const StatusReply& s) {
    out.metric("shoal_link_exchange_seconds", "gauge",
               "What an exchange of 2 KiB takes, as measured.");
    for (const MeasuredLink& l : s.links) {
        out.sample(l.exchange_seconds, {{"from", l.first}, {"to", l.second}});
    }
    out.metric("shoal_link_bytes_per_second", "gauge", "What a link carries, as measured.");
    for (const MeasuredLink& l : s.links) {
        out.sample(l.there_bytes_per_second, {{"from", l.first}, {"to", l.second}});
        out.sample(l.back_bytes_per_second, {{"from", l.second}, {"to", l.first}});
    }
}

void add_models(Exposition& out, const StatusReply& s) {
    out.metric("shoal_model_at_work", "gauge", "1: it has its turn; 0: it is loaded and waits.");
    for (const LoadedModel& m : s.loaded) {
        out.sample(m.at_work ? 1 : 0, {{"model_name", m.name}, {"model_hash", m.hash}});
    }
}

void add_warnings(Exposition& out, const StatusReply& s) {
    out.metric("shoal_warnings", "gauge",
               "What is wrong, by severity; /v1/cluster says what to do.");
    for (const Severity severity : {Severity::error, Severity::warning, Severity::notice}) {
        const auto of_it = [&](const Warning& w) { return w.severity == severity; };
        const auto count = std::count_if(s.warnings.begin(), s.warnings.end(), of_it);
        out.sample(static_cast<double>(count), {{"severity", name(severity)}});
    }
}

class Metrics : public Exchange {
  public:
    explicit Metrics(std::optional<DeviceFigures> figures)
        : Exchange(openai::kDialect), figures_(std::move(figures)) {}

    Request request(std::size_t) const override { return StatusRequest{}; }
    Written event(std::size_t, const Event& event) override {
        const auto* s = std::get_if<StatusReply>(&event);
        if (s == nullptr) return unexpected_event();
        out_.metric("shoal_build_info", "gauge", "The version that answers.");
        out_.sample(1, {{"version", s->version}});
        out_.metric("shoal_term", "counter", "Elections so far.");
        out_.sample(static_cast<double>(s->term));
        add_requests(out_, *s);
        add_devices(out_, *s);
        add_links(out_, *s);
        add_models(out_, *s);
        add_warnings(out_, *s);
        if (figures_) add_device(out_, *figures_, *s);
        return {};
    }
    Answer end() override { return {200, out_.text(), false, kExpositionType}; }

  private:
    const std::optional<DeviceFigures> figures_;
    Exposition out_;
};

}  // namespace

Understood metrics(const Call& call) {
    std::optional<DeviceFigures> figures;
    if (call.figures) figures = call.figures();
    return std::make_unique<Metrics>(std::move(figures));
}

}  // namespace shoal::http::native
