#include "daemon/plan/job_queue.hpp"

#include <doctest/doctest.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "tests/daemon/support.hpp"

namespace job_queue_test {

using namespace shoal;
using namespace shoal::tests;
using namespace std::chrono_literals;
namespace messages = mesh::messages;

namespace {

const KnownModel kModel{{{1}}, "one", 10};
const KnownModel kOther{{{2}}, "two", 20};
const Clock::time_point kStart = Clock::time_point() + 1h;
const LoadingTime kLoading{kStart, kStart + 4s};

using Ids = std::vector<JobId>;

Ids ids(const std::vector<Job>& jobs) {
    Ids out;
    for (const Job& job : jobs) out.push_back(job.id);
    return out;
}

struct Fixture {
    JobQueue queue;

    void add(JobId id, const KnownModel& model = kModel, bool load_only = false,
             Clock::time_point queued_at = kStart) {
        Job job = job_of(id, greedy("a", 3));
        job.queued_at = queued_at;
        queue.add(std::move(job), model, load_only);
    }
    void add_all(std::initializer_list<JobId> jobs) {
        for (const JobId id : jobs) add(id);
    }
    // Of a client, and with a priority.
    void add_of(std::uint64_t client, JobId id, std::int32_t priority = 0,
                const KnownModel& model = kModel) {
        Job job = job_of(id, greedy("a", 3));
        job.queued_at = kStart;
        job.request.client = client;
        job.request.priority = priority;
        queue.add(std::move(job), model, false);
    }
    // The order in which jobs start, when each is over before the next one starts.
    Ids one_by_one() {
        Ids order;
        while (true) {
            const Ids next = start(1);
            if (next.empty()) return order;
            REQUIRE(next.size() == 1);
            order.push_back(next[0]);
            done(next[0]);
        }
    }
    bool has_room(std::uint64_t client, std::uint32_t limit, bool has_tokens = false) {
        Job job = job_of(0, greedy("a", 3));
        job.request.client = client;
        if (has_tokens) job.request.resume_ids = {7};
        return queue.has_room(job, limit);
    }
    // Those that the next plan, or the one that runs, starts now.
    Ids start(std::uint32_t parallel = 4) {
        return ids(queue.next(kModel.hash, parallel, kLoading, kStart).start);
    }
    void token(JobId id) {
        messages::Token token;
        token.id = 7;
        CHECK(queue.record(id, token, kStart));
    }
    void done(JobId id) { CHECK(queue.record(id, messages::Done{}, kStart)); }
    // The plan fails under the jobs that run.
    JobQueue::GivenUp fail(std::vector<mesh::DeviceId> blamed = {}) {
        auto given_up = queue.strike(blamed);
        CHECK(queue.plan_over().empty());
        return given_up;
    }
};

}  // namespace

TEST_SUITE("JobQueue") {
    TEST_CASE_FIXTURE(Fixture, "jobs start in order, as many as run together") {
        add_all({1, 2, 3, 4, 5});
        CHECK(start(3) == Ids{1, 2, 3});
        CHECK(start(3).empty());
        CHECK(queue.running() == 3);
        CHECK(queue.waiting_ids() == Ids{4, 5});
        done(2);
        CHECK(start(3) == Ids{4});
        CHECK(queue.waiting() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "jobs of one model run, and the others' wait for their turn") {
        add(1);
        add(2, kOther);
        add(3);
        CHECK(queue.next_model({})->name == "one");
        CHECK(queue.next_model(kModel.hash)->name == "two");
        CHECK(start() == Ids{1, 3});
        CHECK(queue.wants(kOther.hash));
        CHECK(queue.next_model({})->name == "two");
        done(1);
        done(3);
        CHECK(start().empty());
        CHECK_FALSE(queue.wants(kModel.hash));
        CHECK(queue.next_model(kOther.hash) == nullptr);
    }

    TEST_CASE_FIXTURE(Fixture, "of several models the one whose turn was longest ago is next") {
        const KnownModel third{{{3}}, "three", 30};
        add(1);
        add(2, kOther);
        add(3, third);
        const auto turn = [&](const KnownModel& model) {
            CHECK_FALSE(queue.next(model.hash, 4, kLoading, kStart).start.empty());
            queue.plan_over();
        };
        turn(kModel);
        CHECK(queue.next_model(kModel.hash)->name == "two");
        turn(kOther);
        CHECK(queue.next_model(kOther.hash)->name == "three");
        turn(third);
        CHECK(queue.next_model(third.hash)->name == "one");
        // Whoever comes back is behind those that waited meanwhile.
        done(1);
        add(4);
        CHECK(queue.next_model(third.hash)->name == "two");
        CHECK(queue.interrupted(kOther.hash) == 1);
        CHECK(queue.interrupted(kModel.hash) == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "jobs that want the model alone are named until they are over") {
        add(1, kModel, true);
        add(2);
        add(3, kModel, true);
        add(4);
        add(5, kModel, true);
        auto next = queue.next(kModel.hash, 1, kLoading, kStart);
        CHECK(ids(next.start) == Ids{2});
        CHECK(ids(next.loaded) == Ids{1, 3, 5});
        CHECK(ids(queue.next(kModel.hash, 1, kLoading, kStart).loaded) == Ids{1, 3, 5});
        done(1);
        done(3);
        done(2);
        next = queue.next(kModel.hash, 1, kLoading, kStart);
        CHECK(ids(next.start) == Ids{4});
        CHECK(ids(next.loaded) == Ids{5});
    }

    TEST_CASE_FIXTURE(Fixture, "of a job's wait, what fell into the loading counts as that") {
        const std::pair<Clock::time_point, Clock::duration> rows[] = {{kStart - 9s, 4s},
                                                                      {kStart, 4s},
                                                                      {kStart + 1s, 3s},
                                                                      {kStart + 4s, 0s},
                                                                      {kStart + 9s, 0s}};
        JobId id = 0;
        for (const auto& [queued_at, loading] : rows) add(++id, kModel, false, queued_at);
        const auto next = queue.next(kModel.hash, 9, kLoading, kStart);
        REQUIRE(next.start.size() == std::size(rows));
        for (std::size_t i = 0; i < next.start.size(); ++i) {
            CAPTURE(i);
            CHECK(next.start[i].loading == rows[i].second);
        }
        // One that gave a token waits no more: later plans do not count.
        token(1);
        token(3);
        fail();
        const auto again = queue.next(kModel.hash, 9, {kStart + 20s, kStart + 27s}, kStart);
        CHECK(again.start[0].loading == 4s);
        CHECK(again.start[1].loading == 3s);
        CHECK(again.start[2].loading == 7s);
    }

    TEST_CASE_FIXTURE(Fixture, "a job goes on with the tokens that it has") {
        add(1);
        CHECK(start() == Ids{1});
        token(1);
        token(1);
        fail();
        const auto next = queue.next(kModel.hash, 4, kLoading, kStart);
        REQUIRE(next.start.size() == 1);
        CHECK(next.start[0].request.resume_ids == std::vector<std::int32_t>{7, 7});
        CHECK(next.start[0].first_token == kStart);
        done(1);
        CHECK(queue.empty());
        CHECK_FALSE(queue.record(1, messages::Done{}, kStart));
    }

    TEST_CASE_FIXTURE(Fixture, "cancelling drops what waits, and what runs when its plan is over") {
        add_all({1, 2, 3});
        CHECK(start(2) == Ids{1, 2});
        CHECK(queue.cancel(9) == JobQueue::Cancelled::unknown);
        CHECK(queue.cancel(3) == JobQueue::Cancelled::dropped);
        CHECK(queue.cancel(3) == JobQueue::Cancelled::unknown);
        CHECK(queue.cancel(1) == JobQueue::Cancelled::running);
        CHECK(queue.running() == 2);
        CHECK(queue.plan_over() == Ids{1});
        CHECK(queue.waiting_ids() == Ids{2});
        CHECK(start() == Ids{2});
    }

    TEST_CASE_FIXTURE(Fixture, "the jobs of one model are dropped, and no others") {
        add(1);
        add(2, kOther);
        add(3);
        CHECK(queue.drop(kModel.hash) == Ids{1, 3});
        CHECK(queue.waiting_ids() == Ids{2});
    }

    TEST_CASE_FIXTURE(Fixture, "a job under which plan after plan fails is given up") {
        add_all({1, 2});
        CHECK(start(1) == Ids{1});
        for (std::uint8_t n = 1; n < JobQueue::kMaxStrikes; ++n) {
            CHECK(fail({device_id(n)}).jobs.empty());
            CHECK(start(1) == Ids{1});
        }
        const auto given_up = fail({device_id(4)});
        CHECK(given_up.jobs == Ids{1});
        CHECK(given_up.devices == std::set{device_id(1), device_id(2), device_id(3), device_id(4)});
        CHECK(queue.waiting_ids() == Ids{2});
    }

    TEST_CASE_FIXTURE(Fixture, "a token clears a job, and whom it took with it") {
        add(1);
        for (std::uint8_t n = 1; n < JobQueue::kMaxStrikes; ++n) {
            start();
            fail({device_id(n)});
        }
        start();
        token(1);
        CHECK(fail({device_id(9)}).jobs.empty());
        for (std::uint8_t n = 1; n < JobQueue::kMaxStrikes; ++n) {
            CHECK(start() == Ids{1});
            CHECK(fail({device_id(5)}).jobs.empty());
        }
        start();
        CHECK(fail().devices == std::set{device_id(5)});
    }

    TEST_CASE_FIXTURE(Fixture, "a suspect runs alone, and the others after it") {
        add_all({1, 2, 3});
        for (std::uint32_t n = 0; n < JobQueue::kStrikesAlone; ++n) {
            CHECK(start(2) == Ids{1, 2});
            fail();
        }
        CHECK(start(2) == Ids{1});  // both are suspects
        CHECK(start(2).empty());
        fail();
        CHECK(start(2) == Ids{1});
        done(1);
        CHECK(start(2) == Ids{2});
        CHECK(start(2).empty());  // 3 is none, and waits for it
        token(2);
        fail();
        CHECK(start(2) == Ids{2, 3});
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a newcomer has the next free place, whoever has flooded the queue") {
        for (JobId id = 1; id <= 100; ++id) add_of(1, id);
        CHECK(start(4) == Ids{1, 2, 3, 4});
        add_of(2, 101);
        CHECK(start(4).empty());
        done(3);
        CHECK(start(4) == Ids{101});
        done(101);
        CHECK(start(4) == Ids{5});
        // One that has much to ask gets as much as the other, and not more.
        for (JobId id = 201; id <= 300; ++id) add_of(2, id);
        for (const JobId id : Ids{1, 2, 4, 5}) done(id);
        CHECK(start(4) == Ids{201, 6, 202, 7});
    }

    TEST_CASE_FIXTURE(Fixture, "clients take turns, each in the order of its own jobs") {
        for (const JobId id : Ids{1, 2, 3}) add_of(1, id);
        for (const JobId id : Ids{11, 12, 13}) add_of(2, id);
        add_of(3, 21);
        CHECK(one_by_one() == Ids{1, 11, 21, 2, 12, 3, 13});
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a lower number goes first, and one client's jobs are in turns too") {
        add_of(1, 1, 5);
        add_of(1, 2);
        add_of(2, 3, 5);
        add_of(1, 4, -3);
        add_of(1, 5);
        add_of(2, 6);
        CHECK(one_by_one() == Ids{4, 6, 2, 5, 3, 1});
        // Models have their turns whatever it is.
        add_of(1, 8, 0, kOther);
        add_of(1, 7);
        add_of(2, 10, -2);
        CHECK(queue.next_model({})->name == "two");
        CHECK(start() == Ids{10, 7});
    }

    TEST_CASE_FIXTURE(Fixture, "what has tokens goes on before others begin") {
        for (const JobId id : Ids{1, 2, 3, 4}) add_of(1, id);
        CHECK(start(2) == Ids{1, 2});
        token(1);
        token(2);
        fail();
        add_of(2, 5);
        add_of(3, 6, -100);
        CHECK(start(3) == Ids{1, 2, 6});
        done(1);
        CHECK(start(3) == Ids{5});
    }

    TEST_CASE_FIXTURE(Fixture, "a suspect runs alone, whose turn ever it is") {
        add_of(1, 1);
        add_of(1, 2);
        for (std::uint32_t n = 0; n < JobQueue::kStrikesAlone; ++n) {
            CHECK(start() == Ids{1, 2});
            token(1);
            fail();
        }
        add_of(2, 3);
        add_of(2, 4);
        // By turns 2 comes after 3 and 4, and what comes behind it waits for it.
        CHECK(start() == Ids{1, 3, 4});
        add_of(3, 5, 7);
        done(1);
        CHECK(start().empty());
        done(3);
        done(4);
        CHECK(start() == Ids{2});
        CHECK(start().empty());
        done(2);
        CHECK(start() == Ids{5});
    }

    TEST_CASE_FIXTURE(Fixture, "a flood leaves room in the queue for others") {
        JobId id = 0;
        const auto fill = [&](std::uint64_t client) {
            std::size_t taken = 0;
            for (; has_room(client, 32); ++taken) add_of(client, ++id);
            return taken;
        };
        CHECK(fill(1) == 24);
        CHECK(fill(2) == 6);
        CHECK(fill(3) == 2);
        CHECK_FALSE(has_room(4, 32));
        CHECK(has_room(4, 32, true));  // It goes on.
        CHECK(has_room(4, 33));
        // What comes free is not for those that have most.
        CHECK(start(2) == Ids{1, 25});
        CHECK_FALSE(has_room(1, 32));
        CHECK(has_room(4, 32));
        CHECK_FALSE(has_room(4, 0));
        // What has to go on takes nobody's place.
        token(1);
        token(25);
        fail();
        CHECK(queue.waiting() == 32);
        CHECK(has_room(4, 32));
    }

    TEST_CASE_FIXTURE(Fixture, "who waits is told its place when it is another") {
        using Places = std::vector<JobQueue::Place>;
        for (const JobId id : Ids{1, 2, 3}) add_of(1, id);
        CHECK(start(1) == Ids{1});
        CHECK(queue.moved(kModel.hash) == Places{{2, 1}, {3, 2}});
        CHECK(queue.moved(kModel.hash).empty());
        add_of(2, 4);
        CHECK(queue.moved(kModel.hash) == Places{{4, 1}, {2, 2}, {3, 3}});
        done(1);
        CHECK(start(1) == Ids{4});
        CHECK(queue.moved(kModel.hash) == Places{{2, 1}, {3, 2}});
        fail();
        CHECK(queue.moved(kModel.hash) == Places{{4, 2}, {3, 3}});
        // Whatever else is loaded for is behind those of this model.
        add_of(3, 5, 0, kOther);
        CHECK(queue.moved(kModel.hash) == Places{{5, 4}});
    }

    TEST_CASE_FIXTURE(Fixture, "how long one waits follows from how long jobs took") {
        for (const JobId id : Ids{1, 2, 3, 4}) add_of(1, id);
        start(2);
        CHECK_FALSE(queue.expected_wait(1));
        messages::Done cancelled;
        cancelled.reason = messages::StopReason::cancelled;
        CHECK(queue.record(1, cancelled, kStart + 1s));
        CHECK_FALSE(queue.expected_wait(1));
        CHECK(queue.record(2, messages::Done{}, kStart + 8s));
        CHECK(queue.expected_wait(1) == 4s);
        CHECK(queue.expected_wait(5) == 20s);
        start(2);
        CHECK(queue.record(3, messages::Done{}, kStart + 4s));
        CHECK(queue.expected_wait(1) == 3500ms);
    }

    TEST_CASE("a place is told in words") {
        const auto text = [](std::size_t place, std::optional<Clock::duration> wait = {}) {
            return progress_of(place, wait).what;
        };
        CHECK(text(1) == "1st in the queue");
        CHECK(text(2, 200ms) == "2nd in the queue, about 1 s");
        CHECK(text(3, 12s) == "3rd in the queue, about 12 s");
        CHECK(text(11, 119s) == "11th in the queue, about 119 s");
        CHECK(text(12, 120s) == "12th in the queue, about 2 min");
        CHECK(text(113) == "113th in the queue");
        CHECK(text(1000, 5h) == "1000th in the queue, about 300 min");
        CHECK(text(22) == "22nd in the queue");
    }

    TEST_CASE_FIXTURE(Fixture, "a suspect waits until no other runs") {
        add_all({1, 2});
        for (std::uint32_t n = 0; n < JobQueue::kStrikesAlone; ++n) {
            start();
            token(1);
            fail();
        }
        CHECK(start() == Ids{1});
        done(1);
        CHECK(start() == Ids{2});
    }
}

}  // namespace job_queue_test
