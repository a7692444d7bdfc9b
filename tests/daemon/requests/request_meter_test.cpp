#include "daemon/requests/request_meter.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <string>

namespace request_meter_test {

using namespace shoal;
using namespace mesh::messages;
using std::chrono::milliseconds;

TEST_SUITE("RequestMeter") {
    TEST_CASE("a request is followed from its beginning over its tokens to its end") {
        RequestMeter meter;
        const RequestMeter::Time start{};
        auto course = meter.begin(start);
        CHECK(meter.read().active == 1);
        meter.token(course, {0, 1, "a", "tiny"}, start + milliseconds(200));
        meter.token(course, {1, 2, "b"}, start + milliseconds(230));
        meter.token(course, {2, 3, "c"}, start + milliseconds(238));
        Done done;
        done.reason = StopReason::length;
        done.model = "tiny";
        done.prompt_tokens = 7;
        done.generated_tokens = 3;
        done.queue_seconds = 0.02;
        done.prefill_seconds = 0.1;
        meter.end(course, done, start + milliseconds(300));
        const auto reading = meter.read();
        CHECK(reading.active == 0);
        REQUIRE(reading.models.size() == 1);
        const RequestFigures& figures = reading.models.at("tiny");
        CHECK(figures.first_token.count() == 1);
        CHECK(figures.first_token.sum() == doctest::Approx(0.2));
        CHECK(figures.next_token.count() == 2);
        CHECK(figures.next_token.sum() == doctest::Approx(0.038));
        CHECK(figures.whole.sum() == doctest::Approx(0.3));
        CHECK(figures.queue.sum() == 0.02);
        CHECK(figures.prefill.sum() == 0.1);
        CHECK(figures.prompt_tokens.sum() == 7);
        CHECK(figures.generated_tokens.sum() == 3);
    }

    TEST_CASE("what was cancelled counts as that alone; its times are not an answer's") {
        RequestMeter meter;
        auto course = meter.begin({});
        meter.token(course, {0, 1, "a", "tiny"}, {});
        Done done;
        done.model = "tiny";
        done.reason = StopReason::cancelled;
        meter.end(course, done, {});
        const RequestFigures figures = meter.read().models.at("tiny");
        CHECK(figures.first_token.count() == 1);
        CHECK(figures.whole.count() == 0);
        CHECK(figures.generated_tokens.count() == 0);
    }

    TEST_CASE("every way to end is counted under its name") {
        RequestMeter meter;
        for (int code = 1; code <= 9; ++code) meter.refuse({static_cast<ErrorCode>(code), ""});
        for (int reason = 1; reason <= 4; ++reason) {
            Done done;
            done.reason = static_cast<StopReason>(reason);
            meter.end(meter.begin({}), done, {});
        }
        const RequestFigures figures = meter.read().models.at("");
        const auto count = [&](const std::string& name) {
            const auto it = std::find(kOutcomes.begin(), kOutcomes.end(), name);
            return figures.outcomes.at(static_cast<std::size_t>(it - kOutcomes.begin()));
        };
        CHECK(count("stop") == 2);
        CHECK(count("length") == 1);
        CHECK(count("cancelled") == 2);
        for (const char* name : {"bad_request", "not_found", "busy", "too_large", "unavailable",
                                 "internal", "forbidden", "context_length"}) {
            CHECK_MESSAGE(count(name) == 1, name);
        }
    }

    TEST_CASE("models are told apart within a bound") {
        RequestMeter meter;
        for (std::size_t i = 0; i < 100; ++i) {
            Done done;
            done.model = "model-" + std::to_string(i);
            meter.end(meter.begin({}), done, {});
        }
        const auto reading = meter.read();
        CHECK(reading.models.size() == RequestMeter::kMaxModels + 1);
        CHECK(reading.models.at("").outcomes[0] == 100 - RequestMeter::kMaxModels);
    }
}

}  // namespace request_meter_test
