#include "daemon/http/dialects/shoal/device_metrics.hpp"

#include <algorithm>
#include <iterator>
#include <string>

namespace shoal::http::native {
namespace {

using mesh::LinkReport;
using mesh::messages::DeviceInfo;
using mesh::messages::StatusReply;

void add_outcomes(Exposition& out, const RequestMeter::Reading& requests) {
    out.metric("shoal_requests_active", "gauge", "Requests for text that have not ended.");
    out.sample(requests.active);
    out.metric("shoal_requests_total", "counter", "Requests for text that ended, and how.");
    for (std::size_t i = 0; i < kOutcomes.size(); ++i) {
        std::uint64_t count = 0;
        for (const auto& [model, figures] : requests.models) count += figures.outcomes[i];
        out.sample(count, {{"outcome", kOutcomes[i]}});
    }
    out.metric("vllm:request_success_total", "counter", "Requests for text that were answered.");
    constexpr const char* kReasons[] = {"stop", "length", "abort"};
    for (const auto& [model, figures] : requests.models) {
        for (std::size_t i = 0; i < std::size(kReasons); ++i) {
            out.sample(figures.outcomes[i],
                       {{"model_name", model}, {"finished_reason", kReasons[i]}});
        }
    }
}

void add_times(Exposition& out, const RequestMeter::Reading& requests) {
    struct Row {
        const char* name;
        const char* help;
        Histogram RequestFigures::*values;
    };
    constexpr Row kRows[] = {
        {"vllm:time_to_first_token_seconds", "From a request to its first token.",
         &RequestFigures::first_token},
        {"vllm:inter_token_latency_seconds", "From one token to the next.",
         &RequestFigures::next_token},
        {"vllm:e2e_request_latency_seconds", "From a request to its end.", &RequestFigures::whole},
        {"vllm:request_queue_time_seconds", "What a request waited.", &RequestFigures::queue},
        {"vllm:request_prefill_time_seconds", "What a prompt took.", &RequestFigures::prefill},
        {"vllm:request_prompt_tokens", "Tokens of a prompt.", &RequestFigures::prompt_tokens},
        {"vllm:request_generation_tokens", "Tokens of an answer.",
         &RequestFigures::generated_tokens},
    };
    for (const Row& row : kRows) {
        out.metric(row.name, "histogram", row.help);
        for (const auto& [model, figures] : requests.models) {
            const Histogram& values = figures.*row.values;
            if (model.empty() && values.count() == 0) continue;  // They ended before they began.
            out.histogram(values, {{"model_name", model}});
        }
    }
}

void add_plans(Exposition& out, const PlanFigures& plans) {
    out.metric("shoal_plans_total", "counter", "Plans that this device has made, and why.");
    for (std::size_t i = 0; i < kPlanCauses.size(); ++i) {
        out.sample(plans.made[i], {{"cause", kPlanCauses[i]}});
    }
    out.metric("shoal_plan_loading_seconds", "gauge", "What the latest of them took to load.");
    out.sample(plans.loading_seconds);
}

void add_effort(Exposition& out, const Effort& effort) {
    out.metric("shoal_steps_total", "counter", "Steps with other devices.");
    out.sample(effort.all_steps);
    out.metric("shoal_collectives_total", "counter", "Collectives in these.");
    out.sample(effort.collectives);
    out.metric("shoal_collective_seconds_total", "counter", "Time in these collectives.");
    out.sample(effort.collective_seconds);
}

/// One metric of each link to another device.
template <typename Each>
void add_peer(Exposition& out, const DeviceFigures& figures, const StatusReply& status,
              const char* name, const char* type, const char* help, Each each) {
    out.metric(name, type, help);
    for (const LinkReport& link : figures.links) {
        const std::string id = link.peer.hex();
        const auto device = std::ranges::find(status.devices, id, &DeviceInfo::id);
        each(link, id, device == status.devices.end() ? std::string() : device->name);
    }
}

void add_peers(Exposition& out, const DeviceFigures& figures, const StatusReply& status) {
    struct Row {
        const char* name;
        const char* help;
        std::uint64_t LinkReport::*count;
    };
    constexpr Row kRows[] = {
        {"shoal_peer_sent_bytes_total", "Bytes of frames.", &LinkReport::sent_bytes},
        {"shoal_peer_received_bytes_total", "Bytes of frames.", &LinkReport::received_bytes},
        {"shoal_peer_resent_total", "Frames that were sent to it again.", &LinkReport::resent},
        {"shoal_peer_asked_total", "Times that it was asked for a frame.", &LinkReport::asked},
    };
    for (const Row& row : kRows) {
        add_peer(out, figures, status, row.name, "counter", row.help,
                 [&](const LinkReport& link, const std::string& id, const std::string& name) {
                     out.sample(link.*row.count, {{"device", id}, {"name", name}});
                 });
    }
    add_peer(
        out, figures, status, "shoal_peer_wait_seconds", "gauge",
        "From a collective's beginning until its part was there, in this plan.",
        [&](const LinkReport& link, const std::string& id, const std::string& name) {
            const auto sample = [&](const char* quantile, double us) {
                out.sample(us * 1e-6, {{"device", id}, {"name", name}, {"quantile", quantile}});
            };
            sample("0.5", link.wait_p50_us);
            sample("0.99", link.wait_p99_us);
        });
    out.metric("shoal_peer_round_trip_seconds", "gauge", "Of the mesh, to a device and back.");
    for (const DeviceInfo& d : status.devices) {
        if (d.self || d.round_trip_ms < 0) continue;
        out.sample(d.round_trip_ms * 1e-3, {{"device", d.id}, {"name", d.name}});
    }
}

void add_frames(Exposition& out, const DeviceFigures& figures) {
    const mesh::DataPlaneStats& data = figures.data;
    out.metric("shoal_frames_dropped_total", "counter", "Activations that came in vain, and why.");
    const auto dropped = [&](const char* reason, std::uint64_t count) {
        out.sample(count, {{"reason", reason}});
    };
    dropped("duplicate", data.duplicates);
    dropped("foreign", data.foreign);
    dropped("forged", data.forged);
    dropped("malformed", data.malformed);
    out.metric("shoal_reconnections_total", "counter",
               "Connections for activations that others made anew within a plan.");
    out.sample(std::uint64_t{data.resubscribed});
    out.metric("shoal_connections_refused_total", "counter",
               "Connections of devices whose key is not known.");
    out.sample(figures.refused);
}

void add_process(Exposition& out, const ProcessFigures& process) {
    const auto add = [&](const char* name, const char* type, const char* help, double value) {
        out.metric(name, type, help);
        out.sample(value);
    };
    add("process_resident_memory_bytes", "gauge", "Memory of shoald.",
        static_cast<double>(process.resident_bytes));
    add("process_open_fds", "gauge", "Its open descriptors.",
        static_cast<double>(process.open_descriptors));
    add("process_max_fds", "gauge", "How many it may have.",
        static_cast<double>(process.max_descriptors));
    add("process_cpu_seconds_total", "counter", "Its time on CPUs.", process.cpu_seconds);
    add("process_start_time_seconds", "gauge", "Its start, since the epoch.", process.started);
}

}  // namespace

void add_device(Exposition& out, const DeviceFigures& figures, const StatusReply& status) {
    add_outcomes(out, figures.requests);
    add_times(out, figures.requests);
    add_plans(out, figures.plans);
    add_effort(out, figures.effort);
    add_peers(out, figures, status);
    add_frames(out, figures);
    out.metric("shoal_control_loop_delay_seconds", "histogram",
               "What a message or a timer may have waited for the control thread.");
    out.histogram(figures.loop_delays);
    add_process(out, figures.process);
}

}  // namespace shoal::http::native
