#include "daemon/http/dialects/shoal/exposition.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "daemon/http/dialects/shoal/shoal.hpp"
#include "daemon/requests/figures.hpp"

namespace shoal::http::metrics_test {
namespace {

using namespace mesh::messages;

Answer metrics_of(const StatusReply& status, const Figures& figures = nullptr) {
    Call call;
    call.figures = figures;
    const Understood understood = native::metrics(call);
    const auto& exchange = std::get<0>(understood);
    REQUIRE(std::holds_alternative<StatusRequest>(exchange->request(0)));
    REQUIRE(std::get<std::string>(exchange->event(0, status)).empty());
    return exchange->end();
}

/// A histogram's samples say more than their metric's name.
bool is_of(const std::string& sample, const std::string& metric, const std::string& type) {
    if (type != "histogram") return sample == metric;
    return sample == metric + "_bucket" || sample == metric + "_sum" || sample == metric + "_count";
}

/// The samples by name and labels. Fails where the text is none of Prometheus' format: each metric
/// is announced once, before its samples, which stand together.
std::map<std::string, double> samples_of(const std::string& text) {
    static const std::regex kHelp("# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)");
    static const std::regex kType("# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)");
    static const std::regex kSample(
        R"re(([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[a-z_]+="([^"\\]|\\.)*"(,[a-z_]+="([^"\\]|\\.)*")*\})? (\S+))re");
    std::map<std::string, double> out;
    std::set<std::string> announced;
    std::string helped, typed, type, line;
    CHECK(text.ends_with('\n'));
    std::istringstream lines(text);
    while (std::getline(lines, line)) {
        std::smatch match;
        if (std::regex_match(line, match, kHelp)) {
            helped = match[1];
            CHECK_MESSAGE(announced.insert(helped).second, line);
        } else if (std::regex_match(line, match, kType)) {
            typed = match[1];
            type = match[2];
            CHECK_MESSAGE(typed == helped, line);
        } else if (std::regex_match(line, match, kSample)) {
            CHECK_MESSAGE(is_of(match[1], typed, type), line);
            const bool fresh =
                out.emplace(match[1].str() + match[2].str(), std::stod(match[6])).second;
            CHECK_MESSAGE(fresh, line);
        } else {
            FAIL("no line of the format: " << line);
        }
    }
    return out;
}

DeviceInfo device(const std::string& id, const std::string& name) {
    DeviceInfo d;
    d.id = id;
    d.name = name;
    return d;
}

}  // namespace

TEST_SUITE("metrics") {
    TEST_CASE("the text has a metric's help, type and samples; labels may be any text") {
        native::Exposition out;
        out.metric("a_total", "counter", "How many.");
        out.sample(3);
        out.metric("b", "gauge", "Which.");
        out.sample(0.25, {{"x", "one"}, {"y", "a \"b\" \\ c\nd"}});
        CHECK(out.text() ==
              "# HELP a_total How many.\n# TYPE a_total counter\na_total 3\n"
              "# HELP b Which.\n# TYPE b gauge\nb{x=\"one\",y=\"a \\\"b\\\" \\\\ c\\nd\"} 0.25\n");
    }

    TEST_CASE(
        "what the status says is there, under the names of other servers where they have one") {
        StatusReply s;
        s.version = "0.1.0";
        s.model = "tiny";
        s.generated_tokens = 12'345'678'901;
        s.tokens_per_second = 12.5;
        s.prefill_tokens_per_second = 200;
        s.running = 2;
        s.queued = 3;
        s.preemptions = 4;
        s.prompt_tokens = 500;
        s.cached_tokens = 60;
        s.cache_use = 0.75;
        s.devices = {device("aa", "one"), device("bb", "t\"wo")};
        s.devices[0].rank = 0;
        s.devices[0].root = true;
        s.devices[0].memory_total = 1u << 30;
        s.devices[0].memory_available = 1u << 29;
        s.devices[0].weight_bytes = 1000;
        s.devices[0].kv_bytes = 500;
        s.devices[1].alive = false;
        MeasuredLink link;
        link.first = "aa";
        link.second = "bb";
        link.exchange_seconds = 0.0002;
        link.there_bytes_per_second = 1e8;
        link.back_bytes_per_second = 9e7;
        s.links = {link};
        Warning warning;
        warning.severity = Severity::error;
        s.warnings = {warning, warning};
        s.loaded.resize(2);
        s.loaded[0].name = "tiny";
        s.loaded[0].at_work = true;
        s.loaded[1].name = "other";
        s.loaded[1].hash = "3f2a";

        const Answer answer = metrics_of(s);
        CHECK(answer.status == 200);
        CHECK(std::string(answer.content_type) == "text/plain; version=0.0.4; charset=utf-8");
        auto at = samples_of(answer.body);
        CHECK(at.at("shoal_build_info{version=\"0.1.0\"}") == 1);
        CHECK(at.at("llamacpp:tokens_predicted_total") == 12'345'678'901);
        CHECK(at.at("llamacpp:predicted_tokens_seconds") == 12.5);
        CHECK(at.at("llamacpp:prompt_tokens_seconds") == 200);
        CHECK(at.at("llamacpp:requests_processing") == 2);
        CHECK(at.at("llamacpp:requests_deferred") == 3);
        CHECK(at.at("vllm:num_requests_running{model_name=\"tiny\"}") == 2);
        CHECK(at.at("vllm:num_requests_waiting{model_name=\"tiny\"}") == 3);
        CHECK(at.at("vllm:generation_tokens_total{model_name=\"tiny\"}") == 12'345'678'901);
        CHECK(at.at("vllm:num_preemptions_total{model_name=\"tiny\"}") == 4);
        CHECK(at.at("vllm:prefix_cache_queries_total{model_name=\"tiny\"}") == 500);
        CHECK(at.at("vllm:prefix_cache_hits_total{model_name=\"tiny\"}") == 60);
        CHECK(at.at("vllm:kv_cache_usage_perc{model_name=\"tiny\"}") == 0.75);
        const std::string one = "{device=\"aa\",name=\"one\"}";
        const std::string two = "{device=\"bb\",name=\"t\\\"wo\"}";
        CHECK(at.at("shoal_device_up" + one) == 1);
        CHECK(at.at("shoal_device_up" + two) == 0);
        CHECK(at.at("shoal_device_root" + one) == 1);
        CHECK(at.at("shoal_device_rank" + one) == 0);
        CHECK(at.at("shoal_device_memory_bytes" + one) == 1u << 30);
        CHECK(at.at("shoal_device_memory_available_bytes" + one) == 1u << 29);
        CHECK(at.at("shoal_device_weight_bytes" + one) == 1000);
        CHECK(at.at("shoal_device_kv_cache_bytes" + one) == 500);
        CHECK_FALSE(at.contains("shoal_device_memory_bytes" + two));
        CHECK(at.at("shoal_link_exchange_seconds{from=\"aa\",to=\"bb\"}") == 0.0002);
        CHECK(at.at("shoal_link_bytes_per_second{from=\"aa\",to=\"bb\"}") == 1e8);
        CHECK(at.at("shoal_link_bytes_per_second{from=\"bb\",to=\"aa\"}") == 9e7);
        CHECK(at.at("shoal_model_at_work{model_name=\"tiny\",model_hash=\"\"}") == 1);
        CHECK(at.at("shoal_model_at_work{model_name=\"other\",model_hash=\"3f2a\"}") == 0);
        CHECK(at.at("shoal_warnings{severity=\"error\"}") == 2);
        CHECK(at.at("shoal_warnings{severity=\"notice\"}") == 0);
    }

    TEST_CASE("a histogram's buckets have all up to their bound, and the last one all") {
        static constexpr double kBounds[] = {0.5, 1, 2.5};
        Histogram values(kBounds);
        for (const double value : {0.25, 0.5, 0.75, 2.0, 9.0, -1.0}) values.add(value);
        values.add(std::numeric_limits<double>::quiet_NaN());
        CHECK(values.count() == 6);
        native::Exposition out;
        out.metric("h", "histogram", "How long.");
        out.histogram(values, {{"a", "b"}});
        CHECK(out.text() ==
              "# HELP h How long.\n# TYPE h histogram\n"
              "h_bucket{a=\"b\",le=\"0.5\"} 3\nh_bucket{a=\"b\",le=\"1\"} 4\n"
              "h_bucket{a=\"b\",le=\"2.5\"} 5\nh_bucket{a=\"b\",le=\"+Inf\"} 6\n"
              "h_sum{a=\"b\"} 12.5\nh_count{a=\"b\"} 6\n");
    }

    TEST_CASE("a label that is no UTF-8 does not spoil the rest") {
        native::Exposition out;
        out.metric("a", "gauge", "Of a name that was cut.");
        out.sample(1, {{"name", "Kn\xc3"}});
        CHECK(out.text().ends_with("\na{name=\"Kn\xef\xbf\xbd\"} 1\n"));
    }

    TEST_CASE("a device says what it counts of itself, of its requests by model") {
        DeviceFigures figures;
        figures.requests.active = 1;
        RequestFigures& tiny = figures.requests.models["tiny"];
        tiny.outcomes = {4, 3, 2};
        tiny.first_token.add(0.2);
        tiny.next_token.add(0.03);
        tiny.next_token.add(0.008);
        tiny.whole.add(0.3);
        tiny.queue.add(0.02);
        tiny.prefill.add(0.1);
        tiny.prompt_tokens.add(7);
        tiny.generated_tokens.add(3);
        figures.requests.models[""].outcomes = {1, 0, 0, 5};
        figures.plans.made[static_cast<std::size_t>(PlanCause::lost)] = 2;
        figures.plans.loading_seconds = 1.5;
        figures.effort.all_steps = 10;
        figures.effort.collectives = 40;
        figures.effort.collective_seconds = 0.25;
        mesh::LinkReport link;
        link.peer.bytes[0] = 0xbb;
        link.sent_bytes = 1000;
        link.received_bytes = 2000;
        link.resent = 3;
        link.asked = 4;
        link.wait_p50_us = 250;
        link.wait_p99_us = 1000;
        figures.links = {link};
        figures.data.duplicates += 6;
        ++figures.data.foreign;
        figures.data.forged += 2;
        figures.data.malformed += 3;
        figures.data.resubscribed += 4;
        figures.refused = 5;
        figures.loop_delays.add(0.3);
        figures.process = {1 << 20, 30, 1024, 1.25, 1.7e9};

        StatusReply s;
        s.devices = {device("aa", "one"), device(link.peer.hex(), "two")};
        s.devices[0].self = true;
        s.devices[1].round_trip_ms = 0.5;
        auto at = samples_of(metrics_of(s, [&] { return figures; }).body);
        CHECK(at.at("shoal_requests_active") == 1);
        CHECK(at.at("shoal_requests_total{outcome=\"stop\"}") == 5);
        CHECK(at.at("shoal_requests_total{outcome=\"cancelled\"}") == 2);
        CHECK(at.at("shoal_requests_total{outcome=\"bad_request\"}") == 5);
        CHECK(at.at("shoal_requests_total{outcome=\"context_length\"}") == 0);
        const std::string success =
            "vllm:request_success_total{model_name=\"tiny\",finished_reason=";
        CHECK(at.at(success + "\"stop\"}") == 4);
        CHECK(at.at(success + "\"length\"}") == 3);
        CHECK(at.at(success + "\"abort\"}") == 2);
        const auto of = [&](const std::string& name, const std::string& more = "") {
            return at.at("vllm:" + name + "{model_name=\"tiny\"" + more + "}");
        };
        CHECK(of("time_to_first_token_seconds_sum") == doctest::Approx(0.2));
        CHECK(of("time_to_first_token_seconds_bucket", ",le=\"0.1\"") == 0);
        CHECK(of("time_to_first_token_seconds_bucket", ",le=\"0.25\"") == 1);
        CHECK(of("inter_token_latency_seconds_count") == 2);
        CHECK(of("inter_token_latency_seconds_bucket", ",le=\"0.01\"") == 1);
        CHECK(of("e2e_request_latency_seconds_sum") == doctest::Approx(0.3));
        CHECK(of("e2e_request_latency_seconds_count") == 1);
        CHECK(of("request_queue_time_seconds_sum") == 0.02);
        CHECK(of("request_prefill_time_seconds_sum") == 0.1);
        CHECK(of("request_prompt_tokens_sum") == 7);
        CHECK(of("request_generation_tokens_bucket", ",le=\"5\"") == 1);
        CHECK(at.at("shoal_plans_total{cause=\"lost\"}") == 2);
        CHECK(at.at("shoal_plans_total{cause=\"rules\"}") == 0);
        CHECK(at.at("shoal_plan_loading_seconds") == 1.5);
        CHECK(at.at("shoal_steps_total") == 10);
        CHECK(at.at("shoal_collectives_total") == 40);
        CHECK(at.at("shoal_collective_seconds_total") == 0.25);
        const std::string two = "{device=\"" + link.peer.hex() + "\",name=\"two\"";
        CHECK(at.at("shoal_peer_sent_bytes_total" + two + "}") == 1000);
        CHECK(at.at("shoal_peer_received_bytes_total" + two + "}") == 2000);
        CHECK(at.at("shoal_peer_resent_total" + two + "}") == 3);
        CHECK(at.at("shoal_peer_asked_total" + two + "}") == 4);
        CHECK(at.at("shoal_peer_wait_seconds" + two + ",quantile=\"0.5\"}") ==
              doctest::Approx(0.00025));
        CHECK(at.at("shoal_peer_wait_seconds" + two + ",quantile=\"0.99\"}") ==
              doctest::Approx(0.001));
        CHECK(at.at("shoal_peer_round_trip_seconds" + two + "}") == 0.0005);
        CHECK(at.at("shoal_frames_dropped_total{reason=\"duplicate\"}") == 6);
        CHECK(at.at("shoal_frames_dropped_total{reason=\"foreign\"}") == 1);
        CHECK(at.at("shoal_frames_dropped_total{reason=\"forged\"}") == 2);
        CHECK(at.at("shoal_frames_dropped_total{reason=\"malformed\"}") == 3);
        CHECK(at.at("shoal_reconnections_total") == 4);
        CHECK(at.at("shoal_connections_refused_total") == 5);
        CHECK(at.at("shoal_control_loop_delay_seconds_bucket{le=\"0.25\"}") == 0);
        CHECK(at.at("shoal_control_loop_delay_seconds_bucket{le=\"0.5\"}") == 1);
        CHECK(at.at("process_resident_memory_bytes") == 1 << 20);
        CHECK(at.at("process_open_fds") == 30);
        CHECK(at.at("process_max_fds") == 1024);
        CHECK(at.at("process_cpu_seconds_total") == 1.25);
        CHECK(at.at("process_start_time_seconds") == 1.7e9);
    }

    TEST_CASE("a device without a cluster has metrics, too") {
        CHECK(samples_of(metrics_of({}).body).at("llamacpp:requests_processing") == 0);
    }
}

}  // namespace shoal::http::metrics_test
