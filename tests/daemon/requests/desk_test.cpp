#include "daemon/requests/desk.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <vector>

#include "tests/daemon/plan/candidates.hpp"
#include "tests/daemon/requests/scripted_ports.hpp"

namespace desk_test {

using namespace shoal;
using namespace shoal::tests;
using namespace mesh::messages;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

struct Fixture {
    VirtualTime time;
    VirtualLoop loop{time};
    VirtualBackground texts{time, milliseconds(10)};
    ScriptedPorts ports;
    Recorder own;
    Desk desk{loop,
              texts,
              texts,
              ports,
              "",
              RequestPatience{},
              [this](std::uint64_t id, const Event& event) { own.add(id, event); }};

    Fixture() { desk.on_root_changed(ports.self()); }
    void ask(std::uint8_t device, std::uint64_t id, Request request) {
        desk.on_request(device_id(device), {id, std::move(request)});
    }
    // The code of the one event that a device's request was told; none when it was told nothing.
    ErrorCode code(std::uint8_t device, std::uint64_t id) {
        const auto events = ports.events_to(device, id);
        CHECK(events.size() <= 1);
        return events.empty() ? ErrorCode{} : code_of(events[0]);
    }
};

}  // namespace

TEST_SUITE("Desk") {
    TEST_CASE_FIXTURE(Fixture, "a name that devices may still announce waits, then is not found") {
        ask(2, 7, generate("late"));
        ask(2, 8, generate("never"));
        time.pass(milliseconds(950));
        ports.announce("late");
        time.pass(milliseconds(50));
        REQUIRE(ports.jobs.size() == 1);
        CHECK(ports.jobs[0].model.name == "late");
        time.pass(milliseconds(3'900));
        CHECK(code(2, 8) == ErrorCode{});
        time.pass(milliseconds(200));
        CHECK(code(2, 8) == ErrorCode::not_found);
        CHECK(ports.jobs.size() == 1);
        CHECK_FALSE(time.next());
    }

    TEST_CASE_FIXTURE(Fixture, "what nobody can announce any more is refused at once") {
        ports.announce("tiny");
        time.pass(seconds(5));
        ask(2, 7, generate("tyny"));
        CHECK(code(2, 7) == ErrorCode::not_found);
        // But a whole hash is of a file that was named a moment ago.
        ask(2, 8, generate(ScriptedPorts::hash("loose").hex()));
        CHECK(code(2, 8) == ErrorCode{});
        ports.announce("loose");
        time.pass(milliseconds(100));
        CHECK(ports.jobs.size() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "a name whose holder was lost a moment ago waits for it") {
        time.pass(seconds(60));
        ask(2, 7, generate("tiny"));
        CHECK(code(2, 7) == ErrorCode::not_found);
        desk.on_member_lost(device_id(3));
        ask(2, 8, generate("tiny"));
        ask(2, 9, generate("never"));
        time.pass(milliseconds(950));
        ports.announce("tiny");
        time.pass(milliseconds(50));
        CHECK(ports.jobs.size() == 1);
        CHECK(code(2, 9) == ErrorCode{});
        time.pass(milliseconds(4'200));
        CHECK(code(2, 9) == ErrorCode::not_found);
        ask(2, 10, generate("never"));
        CHECK(code(2, 10) == ErrorCode::not_found);
    }

    TEST_CASE_FIXTURE(Fixture, "names wait as long as folders are read, and for a while more") {
        time.pass(seconds(5));
        ports.known.reading_models = true;
        ask(2, 7, generate("large"));
        ask(2, 8, generate(ScriptedPorts::hash("large").hex()));
        time.pass(std::chrono::minutes(10));
        CHECK(code(2, 7) == ErrorCode{});
        ports.known.reading_models = false;
        time.pass(milliseconds(100));
        CHECK(code(2, 7) == ErrorCode::not_found);
        CHECK(code(2, 8) == ErrorCode{});
        time.pass(seconds(5));
        CHECK(code(2, 8) == ErrorCode::not_found);
    }

    TEST_CASE_FIXTURE(Fixture, "what comes before this device leads waits for its election") {
        ports.announce("tiny");
        desk.on_root_changed(std::nullopt);
        ask(2, 7, generate("tiny"));
        ask(2, 8, generate("tiny"));
        ask(3, 1, CancelRequest{8});
        ask(2, 9, CancelRequest{8});
        CHECK(code(2, 8) == ErrorCode::cancelled);
        desk.on_root_changed(ports.self());
        time.pass(milliseconds(100));
        CHECK(ports.jobs.size() == 1);
        desk.on_root_changed(std::nullopt);
        ask(2, 10, generate("tiny"));
        time.pass(milliseconds(5'200));
        CHECK(code(2, 10) == ErrorCode::unavailable);
        // Another one leads: the requester asks it, and nothing is said here.
        ask(2, 11, generate("tiny"));
        desk.on_root_changed(device_id(3));
        time.pass(seconds(60));
        CHECK(ports.events_to(2, 11).empty());
        CHECK(ports.events_to(2, 7).empty());
        CHECK(ports.jobs.size() == 1);
        CHECK_FALSE(time.next());
    }

    TEST_CASE_FIXTURE(Fixture, "a job's events go to who asked, until the last") {
        ports.announce("tiny");
        ask(2, 7, generate("tiny"));
        desk.take({ports.self(), 7}, LoadRequest{"tiny"});
        REQUIRE(ports.jobs.size() == 2);
        CHECK_FALSE(ports.jobs[0].load_only);
        CHECK(ports.jobs[1].load_only);
        CHECK(ports.jobs[0].job.queued_at == loop.now());
        desk.on_job_event(1, Token{});
        desk.on_job_event(2, Done{});
        desk.on_job_event(1, Done{});
        desk.on_job_event(1, Done{});
        CHECK(ports.events_to(2, 7).size() == 2);
        CHECK(own.story(7).events.size() == 1);
        ports.queue_is_full = true;
        ask(2, 8, generate("tiny"));
        CHECK(code(2, 8) == ErrorCode::busy);
        desk.on_job_event(3, Token{});
        CHECK(ports.events_to(2, 8).size() == 1);
        CHECK(std::get<Failed>(ports.events_to(2, 8)[0]).retry_seconds == 0);
        ports.wait = milliseconds(11'001);
        ask(2, 9, generate("tiny"));
        CHECK(code(2, 9) == ErrorCode::busy);
        const auto busy = std::get<Failed>(ports.events_to(2, 9).at(0));
        CHECK(busy.retry_seconds == 12);
        CHECK(busy.message.find("in about 12 s") != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "clients are those that a device tells apart, else the devices") {
        ports.announce("tiny");
        Generate request = generate("tiny");
        ask(2, 1, request);
        ask(2, 2, LoadRequest{"tiny"});
        ask(3, 3, request);
        request.client = 99;
        ask(3, 4, request);
        REQUIRE(ports.jobs.size() == 4);
        const auto client = [&](std::size_t job) { return ports.jobs[job].job.request.client; };
        CHECK(client(0) != 0);
        CHECK(client(1) == client(0));
        CHECK(client(2) != client(0));
        CHECK(client(2) != 0);
        CHECK(client(3) == 99);
    }

    TEST_CASE_FIXTURE(Fixture, "what is sent again takes the first one's place, without a word") {
        ports.announce("tiny");
        ask(2, 7, generate("tiny"));
        ask(3, 7, generate("tiny"));
        ask(2, 7, generate("tiny"));
        CHECK(ports.cancelled == std::vector<JobId>{1});
        desk.on_job_event(1, Done{.reason = StopReason::cancelled});
        CHECK(ports.events.empty());
        desk.on_job_event(3, Token{});
        desk.on_job_event(2, Token{});
        CHECK(ports.events_to(2, 7).size() == 1);
        CHECK(ports.events_to(3, 7).size() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "whatever a request is told says which attempt it answers") {
        ports.announce("tiny");
        const auto told = [&](std::size_t event, std::uint64_t attempt) {
            REQUIRE(ports.events.size() == event + 1);
            CHECK(ports.events[event].second.attempt == attempt);
        };
        desk.on_request(device_id(2), {7, generate("tiny"), 3});
        desk.on_job_event(1, Token{});
        told(0, 3);
        desk.on_request(device_id(2), {7, generate("tiny"), 4});
        desk.on_job_event(2, Token{});
        told(1, 4);
        desk.on_request(device_id(2), {7, generate("unknown"), 5});
        time.pass(seconds(6));
        told(2, 5);
        desk.on_request(device_id(2), {7, StatusRequest{}, 6});
        told(3, 6);
        ports.room = false;
        desk.on_request(device_id(2), {7, StatusRequest{}, 7});
        ports.room = true;
        time.pass(seconds(1));
        told(4, 7);
        desk.on_request(device_id(2), {7, TokenizeRequest{"tiny", "x", true, true}, 8});
        ports.vocabularies.at(0)(open_model(tiny_model()), "");
        time.pass(milliseconds(10));
        told(5, 8);
        desk.on_request(device_id(2), {7, TokenizeRequest{"tiny", "x", true, true}, 9});
        desk.on_request(device_id(2), {7, CancelRequest{7}, 9});
        told(6, 9);
    }

    TEST_CASE_FIXTURE(Fixture, "a lost device's requests end, and no other's") {
        ports.announce("tiny");
        for (const std::uint8_t device : {std::uint8_t{2}, std::uint8_t{3}}) {
            ask(device, 1, generate("tiny"));
            ask(device, 2, generate("unknown"));
            ask(device, 3, TokenizeRequest{"tiny", "x", true, true});
        }
        desk.on_member_lost(device_id(2));
        CHECK(ports.cancelled == std::vector<JobId>{1});
        for (const auto& opened : ports.vocabularies) opened(open_model(tiny_model()), "");
        ports.announce("unknown");
        time.pass(seconds(1));
        CHECK(ports.jobs.size() == 3);  // one more of device 3
        CHECK(ports.events_to(2, 3).empty());
        CHECK(ports.events_to(3, 3).size() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "a request that finds no room for an event is stopped") {
        ports.announce("tiny");
        ask(2, 7, generate("tiny"));
        ports.room = false;
        desk.on_job_event(1, Token{});
        time.settle();
        CHECK(ports.cancelled == std::vector<JobId>{1});
        desk.on_job_event(1, Done{.reason = StopReason::cancelled});
        ports.room = true;
        time.pass(seconds(1));
        CHECK(code(2, 7) == ErrorCode::unavailable);
    }

    TEST_CASE_FIXTURE(Fixture, "a text of a file that is here needs no election") {
        desk.on_root_changed(device_id(3));
        ports.announce("tiny");
        const TokenizeRequest text{"tiny", "x", true, true};
        CHECK_FALSE(desk.take_text({ports.self(), 1}, text));
        ports.has_files = true;
        CHECK_FALSE(desk.take_text({ports.self(), 1}, generate("tiny")));
        CHECK(desk.take_text({ports.self(), 1}, text));
        ports.vocabularies.at(0)(open_model(tiny_model()), "");
        time.pass(milliseconds(10));
        CHECK(own.story(1).finals() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "a vocabulary is opened once, and kept until another is needed") {
        const auto model = open_model(tiny_model());
        ports.announce("tiny");
        ports.known.models.back().hash = model->hash.hex();
        ports.announce("other");
        const auto tokens = [&](std::uint64_t id) {
            return std::get<TokenizeReply>(ports.events_to(2, id).at(0)).ids.size();
        };
        ask(2, 1, TokenizeRequest{"tiny", "hello", false, true});
        REQUIRE(ports.vocabularies.size() == 1);
        ports.vocabularies[0](model, "");
        ask(2, 2, TokenizeRequest{"tiny", "hello hello", false, true});
        CHECK(ports.vocabularies.size() == 1);
        time.pass(milliseconds(20));
        CHECK(tokens(1) == model->tokenizer->encode("hello", {.add_special = false}).size());
        CHECK(tokens(2) == model->tokenizer->encode("hello hello", {.add_special = false}).size());
        ask(2, 3, TokenizeRequest{"other", "x", false, true});
        CHECK(ports.vocabularies.size() == 2);
    }

    TEST_CASE_FIXTURE(Fixture, "plans are predicted for the devices that were there when asked") {
        ports.announce("tiny");
        ports.cluster.situation.devices = candidates(2);
        ask(2, 7, PlanRequest{"tiny", 0});
        ports.descriptions.at(0)(open_model(tiny_model()), "");
        ports.cluster.situation.devices = candidates(3);
        time.pass(milliseconds(10));
        const auto events = ports.events_to(2, 7);
        REQUIRE(events.size() == 2);
        CHECK(std::holds_alternative<Progress>(events[0]));
        CHECK(std::get<PlanReply>(events[1]).counts.size() == 2);
        // A root's plans are of no use once it is none.
        ask(2, 8, PlanRequest{"tiny", 0});
        desk.on_root_changed(device_id(3));
        ports.descriptions.at(1)(open_model(tiny_model()), "");
        time.pass(milliseconds(10));
        CHECK(ports.events_to(2, 8).empty());
        CHECK(desk.pending() == 0);
    }
}

}  // namespace desk_test
