#include "daemon/requests/attached.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <iterator>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/requests/request_router.hpp"
#include "tests/daemon/requests/scripted_ports.hpp"

namespace attached_test {

using namespace shoal;
using namespace shoal::tests;
using namespace mesh::messages;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

const mesh::DeviceId kOne = device_id(1);
const mesh::DeviceId kTwo = device_id(2);
const mesh::DeviceId kThree = device_id(3);

// Both sides of a device, in virtual time. The mesh around it is what a test says.
struct Fixture {
    VirtualTime time;
    VirtualLoop loop{time};
    VirtualBackground texts{time, milliseconds(10)};
    ScriptedPorts ports;
    RequestRouter router{loop, texts, texts, ports, ""};
    Recorder recorder;

    Fixture() { ports.announce("tiny"); }
    std::uint64_t start(Request request) {
        // Events come later, when the ticket is known.
        std::uint64_t& ticket = tickets.emplace_back();
        ticket = router.start(std::move(request), Door::control,
                              [this, &ticket](const Event& event) { recorder.add(ticket, event); });
        time.settle();
        return ticket;
    }
    Story story(std::uint64_t ticket) const { return recorder.story(ticket); }
    ErrorCode code(std::uint64_t ticket) const {
        return story(ticket).over() ? code_of(story(ticket).events.back()) : ErrorCode{};
    }
    void cancel(std::uint64_t ticket) {
        router.cancel(ticket);
        time.settle();
    }
    // Of the latest attempt.
    void event(const mesh::DeviceId& from, std::uint64_t ticket, Event body) {
        const auto sent = std::find_if(ports.requests.rbegin(), ports.requests.rend(),
                                       [&](const auto& s) { return s.second.id == ticket; });
        const bool asked = sent != ports.requests.rend();
        router.on_event(from, {ticket, std::move(body), asked ? sent->second.attempt : 0});
    }
    static Event token(std::uint32_t index) {
        return Token{index, static_cast<std::int32_t>(100 + index), std::to_string(index) + " "};
    }

    std::deque<std::uint64_t> tickets;
};

}  // namespace

TEST_SUITE("Attached") {
    TEST_CASE_FIXTURE(Fixture, "this device is measured here, whoever leads, or nobody") {
        const auto ticket = start(BenchRequest{true});
        REQUIRE(ports.benches.size() == 1);
        CHECK(ports.benches[0].first.show);
        ports.benches[0].second(Progress{"measuring", 1, 2});
        CHECK_FALSE(story(ticket).over());
        router.on_root_changed(kTwo);
        router.on_member_lost(kTwo);
        ports.benches[0].second(BenchReply{});
        CHECK(story(ticket).over());
        CHECK(std::holds_alternative<BenchReply>(story(ticket).events.back()));
        CHECK(ports.requests.empty());
        CHECK(router.pending() == 0);
        cancel(ticket);
        CHECK(ports.stopped_benches == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "a measurement whose client goes is stopped, and no more is said") {
        const auto ticket = start(BenchRequest{});
        cancel(ticket);
        CHECK(code(ticket) == ErrorCode::cancelled);
        CHECK(ports.stopped_benches == 1);
        const auto said = story(ticket).events.size();
        ports.benches.at(0).second(BenchReply{});
        CHECK(story(ticket).events.size() == said);
    }

    TEST_CASE_FIXTURE(Fixture, "an unknown name waits for a look through the folders of models") {
        router.on_root_changed(kTwo);
        ports.settled = false;
        const auto known = start(generate("tiny"));
        CHECK(ports.requests.size() == 1);
        const auto ticket = start(generate("new"));
        const auto gone = start(generate("newer"));
        CHECK(ports.requests.size() == 1);
        cancel(gone);
        CHECK(code(gone) == ErrorCode::cancelled);
        ports.announce("new");
        REQUIRE(ports.settling.size() == 2);
        for (const auto& done : ports.settling) done();
        time.settle();
        // The root may not have heard of it, and waits for a whole hash.
        REQUIRE(ports.requests.size() == 2);
        CHECK(ports.requests[1].second.id == ticket);
        CHECK(std::get<Generate>(ports.requests[1].second.body).model ==
              ScriptedPorts::hash("new").hex());
        CHECK_FALSE(story(known).over());
    }

    TEST_CASE_FIXTURE(Fixture, "a look through the folders is waited for so long, and no longer") {
        router.on_root_changed(kTwo);
        ports.settled = false;
        start(generate("nowhere"));
        time.pass(milliseconds(4'999));
        CHECK(ports.requests.empty());
        time.pass(milliseconds(1));
        REQUIRE(ports.requests.size() == 1);
        CHECK(std::get<Generate>(ports.requests[0].second.body).model == "nowhere");
        // What comes too late changes nothing.
        for (const auto& done : ports.settling) done();
        time.settle();
        CHECK(ports.requests.size() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "who is in the cluster this device decides, whoever leads") {
        const auto ticket = start(JoinRequest{"a line"});
        REQUIRE(ports.administered.size() == 1);
        CHECK(std::get<JoinRequest>(ports.administered[0].first).invitation == "a line");
        // Joining loses all members, and its own answer comes after that.
        router.on_root_changed(kTwo);
        router.on_member_lost(kTwo);
        router.on_root_changed({});
        ports.administered[0].second(Progress{"asking", 0, 0});
        CHECK_FALSE(story(ticket).over());
        ports.administered[0].second(ClusterReply{"3f2a", {"one"}, ""});
        REQUIRE(story(ticket).over());
        CHECK(std::get<ClusterReply>(story(ticket).events.back()).cluster == "3f2a");
        CHECK(ports.requests.empty());
        CHECK(router.pending() == 0);
        cancel(ticket);
        CHECK(ports.stopped_joins == 0);
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a client that goes does not join any more; what is decided stays so") {
        const auto join = start(JoinRequest{"a line"});
        cancel(join);
        CHECK(code(join) == ErrorCode::cancelled);
        CHECK(ports.stopped_joins == 1);
        const auto forget = start(ForgetRequest{"desk"});
        cancel(forget);
        CHECK(code(forget) == ErrorCode::cancelled);
        CHECK(ports.stopped_joins == 1);
        const auto said = story(join).events.size();
        ports.administered.at(0).second(ClusterReply{});
        CHECK(story(join).events.size() == said);
    }

    TEST_CASE_FIXTURE(Fixture, "a request waits for a root for its time, and nothing longer") {
        const auto ticket = start(generate("tiny"));
        time.pass(milliseconds(29'999));
        CHECK_FALSE(story(ticket).over());
        time.pass(milliseconds(1));
        CHECK(code(ticket) == ErrorCode::unavailable);
        CHECK(story(ticket).failed()->message.find("shoal status") != std::string::npos);
        CHECK_FALSE(time.next());
        // A root without room on the way to it is none.
        router.on_root_changed(kTwo);
        ports.room = false;
        const auto second = start(generate("tiny"));
        time.pass(milliseconds(29'999));
        CHECK_FALSE(story(second).over());
        time.pass(milliseconds(1));
        CHECK(code(second) == ErrorCode::unavailable);
        CHECK_FALSE(time.next());
        CHECK(ports.requests.empty());
    }

    TEST_CASE_FIXTURE(Fixture, "its time begins anew with each root that is lost, not before") {
        const auto ticket = start(generate("tiny"));
        time.pass(seconds(20));
        router.on_root_changed(kTwo);
        time.pass(seconds(100));
        CHECK_FALSE(time.next());  // who is asked needs no clock
        CHECK(ports.requests.size() == 1);
        router.on_root_changed(std::nullopt);
        time.pass(seconds(20));
        ports.room = false;
        router.on_root_changed(kThree);
        router.on_root_changed(std::nullopt);
        time.pass(milliseconds(9'999));
        CHECK_FALSE(story(ticket).over());
        time.pass(milliseconds(1));
        CHECK(code(ticket) == ErrorCode::unavailable);
    }

    TEST_CASE_FIXTURE(Fixture, "a root that was lost is asked again a moment later, once") {
        router.on_root_changed(kTwo);
        const auto ticket = start(generate("tiny"));
        event(kTwo, ticket, token(0));
        router.on_member_lost(kThree);
        router.on_member_lost(kTwo);
        event(kTwo, ticket, token(1));  // on its way when the root forgot us
        time.settle();
        CHECK(ports.requests.size() == 1);
        time.pass(seconds(1));
        REQUIRE(ports.requests.size() == 2);
        const auto& again = std::get<Generate>(ports.requests[1].second.body);
        CHECK(again.resume_ids == std::vector<std::int32_t>{100});
        CHECK_FALSE(time.next());
    }

    TEST_CASE_FIXTURE(Fixture, "a request that no root survives is given up, others are not") {
        router.on_root_changed(kTwo);
        const auto deadly = start(generate("tiny"));
        const auto good = start(generate("tiny"));
        for (std::uint32_t lost = 1; lost <= 3 * Attached::kMaxLostRoots; ++lost) {
            event(kTwo, good, token(lost - 1));
            if (lost < Attached::kMaxLostRoots) event(kTwo, deadly, Progress{"loading", 1, 2});
            router.on_member_lost(kTwo);
            CHECK(story(deadly).over() == (lost >= Attached::kMaxLostRoots));
            router.on_root_changed(std::nullopt);
            router.on_root_changed(kTwo);
        }
        CHECK(code(deadly) == ErrorCode::internal);
        CHECK(story(deadly).finals() == 1);
        CHECK_FALSE(story(good).over());
        CHECK(story(good).ids().size() == 3 * Attached::kMaxLostRoots);
    }

    TEST_CASE_FIXTURE(Fixture, "tokens are shown in order, once each, and only from the root") {
        router.on_root_changed(kTwo);
        const auto ticket = start(generate("tiny"));
        for (const std::uint32_t index : {0, 0, 2, 1, 0, 3, 2, 2}) {
            event(kTwo, ticket, token(index));
            event(kThree, ticket, token(index + 1));
        }
        event(kThree, ticket, Done{});
        CHECK(story(ticket).text() == "0 1 2 ");
        event(kTwo, ticket, Done{});
        event(kTwo, ticket, Done{});
        event(kTwo, ticket, token(3));
        CHECK(story(ticket).events.size() == 4);
    }

    TEST_CASE_FIXTURE(Fixture, "requests for text are counted, by what was shown of them") {
        router.on_root_changed(kTwo);
        const auto ticket = start(generate("tiny"));
        start(StatusRequest{});
        CHECK(router.figures().active == 1);
        time.pass(milliseconds(300));
        for (const std::uint32_t index : {0, 0, 2, 1}) {
            event(kTwo, ticket, token(index));
            time.pass(milliseconds(20));
        }
        Done done;
        done.model = "tiny";
        event(kTwo, ticket, done);
        event(kTwo, ticket, done);
        Generate wrong = generate("tiny");
        wrong.sampling.temperature = -1;
        start(wrong);
        auto figures = router.figures();
        CHECK(figures.active == 0);
        const RequestFigures& told = figures.models.at("");  // tokens of these tests name no model
        CHECK(told.first_token.sum() == doctest::Approx(0.3));
        CHECK(told.next_token.count() == 1);
        CHECK(told.next_token.sum() == doctest::Approx(0.06));
        CHECK(std::string(kOutcomes[3]) == "bad_request");
        CHECK(told.outcomes[3] == 1);
        CHECK(figures.models.at("tiny").outcomes[0] == 1);
        CHECK(figures.models.at("tiny").whole.sum() == doctest::Approx(0.38));
    }

    TEST_CASE_FIXTURE(Fixture, "a prompt that is told anew is shown from where it was") {
        router.on_root_changed(kTwo);
        const auto ticket = start(generate("tiny"));
        const auto part = [](std::uint32_t first, std::uint32_t count) {
            PromptTokens tokens;
            tokens.first = first;
            for (std::uint32_t i = 0; i < count; ++i) {
                tokens.tokens.push_back({static_cast<std::int32_t>(first + i), "", {}});
            }
            return tokens;
        };
        event(kTwo, ticket, part(0, 4));
        event(kTwo, ticket, part(4, 2));
        router.on_root_changed(kThree);
        // Other plans have other steps. One part is whole, one is cut, one is not in order.
        event(kThree, ticket, part(0, 5));
        event(kThree, ticket, part(9, 2));
        event(kThree, ticket, part(5, 4));
        event(kThree, ticket, part(0, 0));
        event(kThree, ticket, token(0));
        std::uint32_t shown = 0;
        for (const Event& seen : story(ticket).events) {
            const auto* tokens = std::get_if<PromptTokens>(&seen);
            if (tokens == nullptr) continue;
            CHECK(tokens->first == shown);
            CHECK_FALSE(tokens->tokens.empty());
            for (const auto& entry : tokens->tokens) {
                CHECK(entry.id == static_cast<std::int32_t>(shown++));
            }
        }
        CHECK(shown == 9);
        CHECK(story(ticket).ids().size() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "what comes late of a former attempt changes nothing") {
        router.on_root_changed(kTwo);
        const auto ticket = start(generate("tiny"));
        event(kTwo, ticket, token(0));
        const auto before = ports.requests[0].second.attempt;
        const auto comes_late = [&] {
            for (Event late : {token(1), Event(Progress{"loading", 1, 2}), Event(Done{}),
                               Event(Failed{ErrorCode::not_found, "no such model"})}) {
                router.on_event(kTwo, {ticket, std::move(late), before});
            }
            CHECK(story(ticket).events.size() == 1);
        };
        SUBCASE("of the same root, elected again") {
            router.on_root_changed(kThree);
            comes_late();
            router.on_root_changed(kTwo);
        }
        SUBCASE("of the same root, elected again before anybody else was") {
            router.on_root_changed(kTwo);
        }
        SUBCASE("of a root that was lost and is there again") {
            router.on_member_lost(kTwo);
            time.pass(seconds(1));
        }
        comes_late();
        event(kTwo, ticket, token(1));
        event(kTwo, ticket, Done{});
        CHECK(story(ticket).text() == "0 1 ");
        CHECK(story(ticket).done() != nullptr);
    }

    TEST_CASE_FIXTURE(Fixture, "a generation that moved tells its whole time") {
        router.on_root_changed(kTwo);
        const auto ticket = start(generate("tiny"));
        time.pass(seconds(1));
        event(kTwo, ticket, token(0));
        time.pass(seconds(2));
        router.on_root_changed(kThree);
        time.pass(seconds(3));
        event(kThree, ticket, Done{.decode_seconds = 99});
        REQUIRE(story(ticket).done() != nullptr);
        CHECK(story(ticket).done()->decode_seconds == doctest::Approx(5));
        const auto still = start(generate("tiny"));
        event(kThree, still, Done{.decode_seconds = 99});
        CHECK(story(still).done()->decode_seconds == 99);
    }

    TEST_CASE_FIXTURE(Fixture, "cancelling ends a request at every stage, once") {
        ports.has_files = true;
        const auto reading = start(generate("/a/file.gguf"));
        const auto waiting = start(generate("tiny"));
        const auto here = start(TokenizeRequest{"tiny", "x", true, true});
        for (const auto ticket : {reading, waiting, here, here}) cancel(ticket);
        ports.added.at(0).second(ScriptedPorts::hash("file"), "");
        ports.vocabularies.at(0)(open_model(tiny_model()), "");
        router.on_root_changed(kTwo);
        time.pass(seconds(40));
        for (const auto ticket : {reading, waiting, here}) {
            CHECK(code(ticket) == ErrorCode::cancelled);
            CHECK(story(ticket).finals() == 1);
        }
        CHECK(ports.requests.empty());
    }

    TEST_CASE_FIXTURE(Fixture, "the root is told that a request is cancelled, as soon as it can") {
        router.on_root_changed(kTwo);
        const auto ticket = start(generate("tiny"));
        ports.room = false;
        cancel(ticket);
        cancel(ticket);
        time.pass(seconds(1));
        ports.room = true;
        time.pass(seconds(1));
        REQUIRE(ports.requests.size() == 2);
        CHECK(std::get<CancelRequest>(ports.requests[1].second.body).request == ticket);
        CHECK_FALSE(story(ticket).over());
        CHECK_FALSE(time.next());
        router.on_root_changed(kThree);  // which need not hear of it
        CHECK(code(ticket) == ErrorCode::cancelled);
        CHECK(ports.requests.size() == 2);
        // Nor does one that is asked no more.
        const auto second = start(generate("tiny"));
        ports.room = false;
        cancel(second);
        router.on_root_changed(std::nullopt);
        ports.room = true;
        CHECK(code(second) == ErrorCode::cancelled);
        CHECK_FALSE(time.next());
    }

    TEST_CASE_FIXTURE(Fixture, "a file that is named by its path goes on by its hash") {
        router.on_root_changed(kTwo);
        const auto ticket = start(generate("/a/file.gguf"));
        router.on_root_changed(kThree);
        time.pass(seconds(60));  // a large file
        CHECK(ports.requests.empty());
        REQUIRE(ports.added.size() == 1);
        CHECK(ports.added[0].first == "/a/file.gguf");
        ports.added[0].second(ScriptedPorts::hash("file"), "");
        REQUIRE(ports.requests.size() == 1);
        CHECK(ports.requests[0].first == kThree);
        CHECK(std::get<Generate>(ports.requests[0].second.body).model ==
              ScriptedPorts::hash("file").hex());
        const auto missing = start(LoadRequest{"./none"});
        ports.added.at(1).second({}, "no such file");
        CHECK(code(missing) == ErrorCode::not_found);
        CHECK(story(ticket).finals() == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "a text of a file that is here is answered whoever leads") {
        ports.has_files = true;
        const auto ticket = start(TokenizeRequest{"tiny", "x", true, true});
        router.on_root_changed(kTwo);
        router.on_member_lost(kTwo);
        router.on_root_changed(kOne);
        router.on_root_changed(std::nullopt);
        ports.vocabularies.at(0)(open_model(tiny_model()), "");
        time.pass(milliseconds(10));
        CHECK(std::holds_alternative<TokenizeReply>(story(ticket).events.back()));
        CHECK(ports.requests.empty());
        CHECK(ports.vocabularies.size() == 1);
        CHECK_FALSE(time.next());
    }

    TEST_CASE_FIXTURE(Fixture, "status is the root's, seen from here") {
        const auto alone = start(StatusRequest{});
        CHECK(std::get<StatusReply>(story(alone).events.back()).self == "one");
        router.on_root_changed(device_id(1));
        const auto own = start(StatusRequest{});
        CHECK(std::get<StatusReply>(story(own).events.back()).self == "one");
        router.on_root_changed(kTwo);
        const auto asked = start(StatusRequest{});
        CHECK_FALSE(story(asked).over());
        event(kTwo, asked, StatusReply{.self = "two"});
        CHECK(std::get<StatusReply>(story(asked).events.back()).self == "one");
    }
}

namespace {

// Roots that generate kLength tokens for whatever they are asked, while they are elected and lost
// and connections have room or none, all by a seed. What a root has sent comes in its order, some
// of it after further elections.
class Schedule : Fixture {
  public:
    explicit Schedule(std::uint32_t seed) : random_(seed) {}

    void run() {
        for (int i = 0; i < 300; ++i) step();
        ports.room = true;
        elect(kTwo);
        for (int i = 0; i < 20 * kRequests * int{kLength} && !over(); ++i) {
            time.pass(milliseconds(100));
            take_requests();
            work();
            deliver();
        }
        time.pass(seconds(1));
    }
    void check() {
        CHECK_FALSE(time.next());
        CHECK(router.pending() == 0);
        for (const std::uint64_t ticket : tickets) {
            CAPTURE(ticket);
            CHECK(story(ticket).finals() == 1);
            CHECK(story(ticket).numbered());
            if (cancelled_.contains(ticket)) continue;
            CHECK(story(ticket).done() != nullptr);
            CHECK(story(ticket).ids().size() == kLength);
        }
    }

  private:
    static constexpr std::uint32_t kLength = 12;
    static constexpr int kRequests = 4;
    using Key = std::pair<mesh::DeviceId, std::uint64_t>;  // its ticket, or here its job
    struct Generating {
        std::uint32_t next = 0;  // token
        std::uint64_t attempt = 0;
    };

    std::size_t below(std::size_t end) {
        return std::uniform_int_distribution<std::size_t>(0, end - 1)(random_);
    }
    bool over() {
        return std::all_of(tickets.begin(), tickets.end(),
                           [&](std::uint64_t ticket) { return story(ticket).over(); });
    }
    void step() {
        switch (below(24)) {
            case 0:
                if (tickets.size() < kRequests) start(generate("tiny"));
                break;
            case 1:
                elect(std::array<std::optional<mesh::DeviceId>, 4>{std::nullopt, kOne, kTwo,
                                                                   kThree}[below(4)]);
                break;
            case 2:
                if (root_ && *root_ != kOne) {
                    forget(*root_);
                    router.on_member_lost(*root_);
                }
                break;
            case 3:
                ports.room = below(2) != 0;
                break;
            case 4:
                if (below(8) == 0 && !tickets.empty()) {
                    const auto ticket = tickets.at(below(tickets.size()));
                    cancelled_.insert(ticket);
                    cancel(ticket);
                }
                break;
            case 5:
                time.pass(milliseconds(below(50)));
                break;
            default:
                below(2) == 0 ? work() : deliver();
        }
        take_requests();
    }
    // Jobs are forgotten at each election.
    void elect(std::optional<mesh::DeviceId> root) {
        jobs_.clear();
        root_ = root;
        router.on_root_changed(root);
    }
    void forget(const mesh::DeviceId& device) {
        std::erase_if(jobs_, [&](const auto& job) { return job.first.first == device; });
        sent_.erase(device);
    }
    void take_requests() {
        for (const auto& [to, frame] : std::exchange(ports.requests, {})) {
            if (const auto* request = std::get_if<Generate>(&frame.body)) {
                jobs_[{to, frame.id}] = {generated(*request), frame.attempt};
            } else if (const auto it = jobs_.find({to, frame.id}); it != jobs_.end()) {
                sent_[to].push_back(
                    {frame.id, Done{.reason = StopReason::cancelled}, it->second.attempt});
                jobs_.erase(it);
            }
        }
        for (const auto& submitted : std::exchange(ports.jobs, {})) {
            jobs_[{kOne, submitted.job.id}] = {generated(submitted.job.request), 0};
        }
        for (const JobId job : std::exchange(ports.cancelled, {})) {
            if (jobs_.erase({kOne, job}) == 0) continue;
            router.on_job_event(job, Done{.reason = StopReason::cancelled});
        }
    }
    static std::uint32_t generated(const Generate& request) {
        return static_cast<std::uint32_t>(request.resume_ids.size());
    }
    // One of the jobs goes on by a token.
    void work() {
        if (jobs_.empty()) return;
        const auto it = std::next(jobs_.begin(), static_cast<std::ptrdiff_t>(below(jobs_.size())));
        const auto [device, id] = it->first;
        const std::uint64_t attempt = it->second.attempt;
        const bool done = it->second.next == kLength;
        const Event event = done ? Event(Done{}) : token(it->second.next++);
        if (done) jobs_.erase(it);
        if (device == kOne) {
            router.on_job_event(id, event);
        } else {
            sent_[device].push_back({id, event, attempt});
        }
    }
    void deliver() {
        if (sent_.empty()) return;
        const auto it = std::next(sent_.begin(), static_cast<std::ptrdiff_t>(below(sent_.size())));
        if (it->second.empty()) return;
        const EventFrame frame = it->second.front();
        it->second.pop_front();
        router.on_event(it->first, frame);
    }

    std::mt19937 random_;
    std::optional<mesh::DeviceId> root_;
    std::map<Key, Generating> jobs_;
    std::map<mesh::DeviceId, std::deque<EventFrame>> sent_;
    std::set<std::uint64_t> cancelled_;
};

}  // namespace

TEST_SUITE("Attached") {
    TEST_CASE("every request ends once, with its whole text, whatever happens to roots") {
        for (std::uint32_t seed = 1; seed <= 2000; ++seed) {
            CAPTURE(seed);
            Schedule schedule(seed);
            schedule.run();
            schedule.check();
        }
    }
}

}  // namespace attached_test
