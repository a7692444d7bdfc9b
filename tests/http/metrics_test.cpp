#include "daemon/http/dialects/shoal/exposition.hpp"

#include <doctest/doctest.h>

#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "daemon/http/dialects/shoal/shoal.hpp"

namespace shoal::http::metrics_test {
namespace {

using namespace mesh::messages;

Answer metrics_of(const StatusReply& status) {
    const Understood understood = native::metrics({});
    const auto& exchange = std::get<0>(understood);
    REQUIRE(std::holds_alternative<StatusRequest>(exchange->request(0)));
    REQUIRE(std::get<std::string>(exchange->event(0, status)).empty());
    return exchange->end();
}

/// The samples by name and labels. Fails where the text is none of Prometheus' format: each metric
/// is announced once, before its samples, which stand together.
std::map<std::string, double> samples_of(const std::string& text) {
    static const std::regex kHelp("# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)");
    static const std::regex kType("# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge)");
    static const std::regex kSample(
        R"re(([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[a-z_]+="([^"\\]|\\.)*"(,[a-z_]+="([^"\\]|\\.)*")*\})? (\S+))re");
    std::map<std::string, double> out;
    std::set<std::string> announced;
    std::string helped, typed, line;
    CHECK(text.ends_with('\n'));
    std::istringstream lines(text);
    while (std::getline(lines, line)) {
        std::smatch match;
        if (std::regex_match(line, match, kHelp)) {
            helped = match[1];
            CHECK_MESSAGE(announced.insert(helped).second, line);
        } else if (std::regex_match(line, match, kType)) {
            typed = match[1];
            CHECK_MESSAGE(typed == helped, line);
        } else if (std::regex_match(line, match, kSample)) {
            CHECK_MESSAGE(match[1] == typed, line);
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
        CHECK(at.at("shoal_warnings{severity=\"error\"}") == 2);
        CHECK(at.at("shoal_warnings{severity=\"notice\"}") == 0);
    }

    TEST_CASE("a device without a cluster has metrics, too") {
        CHECK(samples_of(metrics_of({}).body).at("llamacpp:requests_processing") == 0);
    }
}

}  // namespace shoal::http::metrics_test
