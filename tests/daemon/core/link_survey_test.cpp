#include "daemon/core/link_survey.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "daemon/plan/link_record.hpp"
#include "tests/daemon/support.hpp"
#include "tests/daemon/virtual_loop.hpp"

namespace link_survey_test {

using namespace shoal;
using namespace shoal::tests;
using namespace mesh::messages;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

// A device that measures when a test says what.
class Scripted final : public LinkTester {
  public:
    std::uint16_t port() const noexcept override { return 4001; }
    void test(LinkTestSpec spec, std::function<void(const LinkTestOutcome&)> done) override {
        specs.push_back(std::move(spec));
        end = std::move(done);
    }
    void stop() noexcept override { ++stops; }

    std::vector<LinkTestSpec> specs;
    std::function<void(const LinkTestOutcome&)> end;
    int stops = 0;
};

struct Fixture {
    VirtualTime time;
    VirtualLoop loop{time};
    Scripted tester;
    const mesh::Term term{3, device_id(1)};
    LinkSurvey::View view;
    bool idle = true, busy = false;
    int completions = 0;
    KnownLinks kept;
    std::vector<std::pair<mesh::DeviceId, PlanMessage>> sent;
    LinkSurvey survey{loop, &tester, links()};

    LinkSurvey::Links links() {
        LinkSurvey::Links out;
        out.self = device_id(1);
        out.view = [this] { return view; };
        out.idle = [this] { return idle; };
        out.busy = [this] { return busy; };
        out.address = [](const mesh::DeviceId& id) {
            return id == device_id(9) ? std::string() : "10.0.0." + std::to_string(id.bytes[0]);
        };
        out.send = [this](const mesh::DeviceId& to, const PlanMessage& m) {
            sent.emplace_back(to, m);
        };
        out.date = [] { return std::string("2026-11-29T16:40:00Z"); };
        out.complete = [this] { ++completions; };
        out.keep = [this](const KnownLinks& links) { kept = links; };
        return out;
    }
    void lead(std::uint8_t devices) {
        for (std::uint8_t n = 1; n <= devices; ++n) add(n);
        survey.become_root(term);
    }
    void add(std::uint8_t number) {
        view.devices.push_back({device_id(number),
                                {number},
                                number == 1 ? "" : "10.0.0." + std::to_string(number),
                                4000u + number});
    }
    // The test that was ordered last, of which both devices know the same; none: nothing is.
    std::optional<LinkTest> ordered() {
        if (sent.size() < 2) return std::nullopt;
        const auto* a = std::get_if<LinkTest>(&sent[sent.size() - 2].second);
        const auto* b = std::get_if<LinkTest>(&sent.back().second);
        if (a == nullptr || b == nullptr || a->ends.size() != 2) return std::nullopt;
        CHECK(a->test == b->test);
        CHECK(sent[sent.size() - 2].first.bytes == a->ends[0].id);
        CHECK(sent.back().first.bytes == a->ends[1].id);
        return *a;
    }
    // Devices of the test under way, by number; waits for one.
    std::pair<int, int> pair(milliseconds wait = seconds(10)) {
        sent.clear();
        for (milliseconds waited{0}; waited < wait && !ordered(); waited += milliseconds(100)) {
            time.pass(milliseconds(100));
        }
        const auto test = ordered();
        return test ? std::pair{number(test->ends[0]), number(test->ends[1])} : std::pair{0, 0};
    }
    static int number(const LinkEnd& end) {
        for (std::uint8_t n = 1; n < 100; ++n) {
            if (device_id(n).bytes == end.id) return n;
        }
        return -1;
    }
    LinkResult result(double exchange_us = 100) {
        LinkResult out;
        out.test = ordered().value().test;
        out.exchange_seconds = exchange_us * 1e-6;
        out.out_bytes_per_second = 1e8;
        out.in_bytes_per_second = 5e7;
        out.transport = "zmtp";
        return out;
    }
    void measured(double exchange_us = 100) {
        survey.on_result({ordered().value().ends[0].id}, result(exchange_us));
    }
};

}  // namespace

TEST_SUITE("LinkSurvey") {
    TEST_CASE_FIXTURE(Fixture, "every pair is measured once, the root's first, then it is quiet") {
        lead(3);
        CHECK(pair(milliseconds(4900)) == std::pair{0, 0});  // they have just come
        CHECK(pair() == std::pair{1, 2});
        CHECK(ordered()->ends[1].port == 4002);
        CHECK(ordered()->ends[1].public_key[0] == 2);
        measured();
        CHECK(pair() == std::pair{1, 3});
        measured();
        CHECK(completions == 0);
        CHECK(pair() == std::pair{2, 3});
        measured(200);
        CHECK(pair() == std::pair{0, 0});
        CHECK(completions == 1);
        REQUIRE(survey.known().size() == 3);
        const KnownLink& link = survey.known().at(std::minmax(device_id(2), device_id(3)));
        CHECK(link.there.exchange_seconds == doctest::Approx(200e-6));
        const bool in_order = device_id(2) < device_id(3);
        CHECK((in_order ? link.there : link.back).bytes_per_second == 1e8);
        CHECK((in_order ? link.back : link.there).bytes_per_second == 5e7);
        CHECK(link.date == "2026-11-29T16:40:00Z");
        CHECK(link.transport == "zmtp");
        CHECK((in_order ? link.first_address : link.second_address) == "10.0.0.2");
    }

    TEST_CASE_FIXTURE(Fixture, "a job ends a test, and none begins while one is there") {
        lead(2);
        CHECK(pair() == std::pair{1, 2});
        const LinkResult late = result();
        sent.clear();
        idle = false;
        survey.disturb();
        REQUIRE(sent.size() == 2);
        CHECK(std::get<LinkTest>(sent[0].second).ends.empty());
        CHECK(std::get<LinkTest>(sent[1].second).test == late.test);
        survey.on_result(device_id(1), late);
        CHECK(survey.known().empty());
        CHECK(pair(minutes(5)) == std::pair{0, 0});
        idle = true;
        CHECK(pair(milliseconds(900)) == std::pair{0, 0});  // it has only just become quiet
        CHECK(pair() == std::pair{1, 2});
        // What comes when a job has come, too, says nothing.
        idle = false;
        measured();
        CHECK(survey.known().empty());
    }

    TEST_CASE_FIXTURE(Fixture, "a link is measured anew when it may be another, and now and then") {
        lead(2);
        CHECK(pair() == std::pair{1, 2});
        measured();
        CHECK(pair(minutes(29)) == std::pair{0, 0});
        CHECK(pair(minutes(2)) == std::pair{1, 2});
        measured(110);
        CHECK(completions == 1);  // not by noise
        CHECK(pair() == std::pair{0, 0});
        view.devices[1].address = "10.0.0.99";
        CHECK(pair() == std::pair{1, 2});
        measured(900);
        CHECK(pair() == std::pair{0, 0});
        CHECK(completions == 2);
        survey.on_lost(device_id(2));
        survey.on_joined(device_id(2));
        CHECK(survey.known().size() == 1);  // good until it is known better
        CHECK(pair() == std::pair{1, 2});
    }

    TEST_CASE_FIXTURE(Fixture, "what cannot be measured is tried after pauses that grow") {
        lead(3);
        view.apart.insert(std::minmax(device_id(2), device_id(3)));
        view.devices[2].port = 0;
        CHECK(pair() == std::pair{1, 2});
        LinkResult failed = result();
        failed.error = "the devices do not reach each other";
        survey.on_result(device_id(3), failed);  // not its link
        survey.on_result(device_id(2), failed);
        CHECK(pair(seconds(29)) == std::pair{0, 0});
        CHECK(pair(seconds(10)) == std::pair{1, 2});
        // Nobody answers: that takes ten seconds, and then a minute.
        CHECK(pair(seconds(65)) == std::pair{0, 0});
        CHECK(pair(seconds(20)) == std::pair{1, 2});
        // Nonsense is no figure.
        LinkResult odd = result();
        odd.in_bytes_per_second = -1;
        survey.on_result(device_id(1), odd);
        CHECK(survey.known().empty());
        survey.on_joined(device_id(2));
        CHECK(pair() == std::pair{1, 2});
    }

    TEST_CASE_FIXTURE(Fixture,
                      "what was measured before the last start is good until measured again") {
        lead(3);
        CHECK(pair() == std::pair{1, 2});
        measured(300);
        CHECK(pair() == std::pair{1, 3});
        measured(400);
        REQUIRE(kept.size() == 2);

        const KnownLinks before = links_from_text(to_text(kept));
        CHECK(before == kept);
        LinkSurvey again{loop, &tester, links(), before};
        CHECK(again.known().empty());
        view.devices[2].address = "10.0.0.77";
        again.become_root(term);
        time.pass(milliseconds(1000));
        // Of the third device's network nothing is known.
        REQUIRE(again.known().size() == 1);
        const KnownLink& link = again.known().begin()->second;
        CHECK(link.there.exchange_seconds == doctest::Approx(300e-6));
        CHECK(link.date == "2026-11-29T16:40:00Z");
        // Both are measured as if they were not known.
        survey.resign();
        CHECK(pair() == std::pair{1, 2});
        again.on_result({ordered().value().ends[0].id}, result(310));
        CHECK(again.known().begin()->second.measured != Loop::Time{});
        CHECK(pair() == std::pair{1, 3});
        again.on_result({ordered().value().ends[0].id}, result(900));
        CHECK(kept.size() == 2);
        CHECK(again.known().size() == 2);
        // Another term, and it still knows them.
        again.resign();
        CHECK(again.known().empty());
        again.become_root(term);
        CHECK(again.known().size() == 2);
    }

    TEST_CASE_FIXTURE(Fixture, "one that goes, or another root, ends it") {
        lead(2);
        CHECK(pair() == std::pair{1, 2});
        sent.clear();
        survey.on_lost(device_id(2));
        CHECK(sent.size() == 2);
        view.devices.pop_back();
        CHECK(pair() == std::pair{0, 0});
        survey.resign();
        CHECK_FALSE(time.next());
        survey.on_joined(device_id(2));
        CHECK_FALSE(time.next());
    }

    TEST_CASE_FIXTURE(Fixture, "a member measures for the root of its term, and tells it") {
        LinkTest test{PlanRef::of({{3, device_id(4)}, 7}),
                      {{device_id(2).bytes, {2}, 4002}, {device_id(1).bytes, {1}, 4001}}};
        const mesh::Term its{3, device_id(4)};
        survey.on_test(device_id(3), test, its);
        survey.on_test(device_id(4), test, {4, device_id(4)});
        CHECK(tester.specs.empty());
        survey.on_test(device_id(4), test, its);
        REQUIRE(tester.specs.size() == 1);
        CHECK(tester.specs[0].rank == 1);
        CHECK(tester.specs[0].peers[0].endpoint ==
              "tcp://10.0.0." + std::to_string(device_id(2).bytes[0]) + ":4002");
        LinkTestOutcome outcome;
        tester.end(outcome);
        CHECK(sent.empty());  // rank 0 tells
        outcome.error = "no";
        survey.on_test(device_id(4), test, its);
        tester.end(outcome);
        CHECK(std::get<LinkResult>(sent.at(0).second).error == "no");

        std::swap(test.ends[0], test.ends[1]);
        survey.on_test(device_id(4), test, its);
        CHECK(tester.specs.back().rank == 0);
        tester.end({LinkFigures{1e-4, 1e8, 2e8}, "zmtp", "none", ""});
        CHECK(std::get<LinkResult>(sent.at(1).second).in_bytes_per_second == 2e8);
        CHECK(sent.at(1).first == device_id(4));

        survey.on_test(device_id(4), test, its);
        survey.on_test(device_id(4), {PlanRef::of({its, 8}), {}}, its);
        CHECK(tester.stops == 0);
        survey.on_test(device_id(4), {test.test, {}}, its);
        CHECK(tester.stops == 1);
        busy = true;
        survey.on_test(device_id(4), test, its);
        CHECK(std::get<LinkResult>(sent.at(2).second).error == "a device is busy");
        busy = false;
        test.ends[1].id = device_id(9).bytes;
        survey.on_test(device_id(4), test, its);
        CHECK(std::get<LinkResult>(sent.at(3).second).error ==
              "there is no connection to 09000000");
        test.ends[1].id = test.ends[0].id;
        survey.on_test(device_id(4), test, its);
        CHECK(sent.size() == 4);
    }
}

}  // namespace link_survey_test
