#include "daemon/plan/job_queue.hpp"

#include <doctest/doctest.h>

#include <initializer_list>
#include <string>

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
    // Those that the next plan, or the one that runs, starts now.
    Ids start(std::uint32_t parallel = 4) {
        return ids(queue.next(kModel.hash, parallel, kLoading).start);
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
            CHECK_FALSE(queue.next(model.hash, 4, kLoading).start.empty());
            queue.plan_over();
        };
        turn(kModel);
        CHECK(queue.next_model(kModel.hash)->name == "two");
        turn(kOther);
        CHECK(queue.next_model(kOther.hash)->name == "three");
        turn(third);
        CHECK(queue.next_model(third.hash)->name == "one");
    }

    TEST_CASE_FIXTURE(Fixture, "jobs that want the model alone are named until they are over") {
        add(1, kModel, true);
        add(2);
        add(3, kModel, true);
        add(4);
        add(5, kModel, true);
        auto next = queue.next(kModel.hash, 1, kLoading);
        CHECK(ids(next.start) == Ids{2});
        CHECK(ids(next.loaded) == Ids{1, 3});  // 5 waits behind 4, which waits
        CHECK(ids(queue.next(kModel.hash, 1, kLoading).loaded) == Ids{1, 3});
        done(1);
        done(3);
        done(2);
        next = queue.next(kModel.hash, 1, kLoading);
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
        const auto next = queue.next(kModel.hash, 9, kLoading);
        REQUIRE(next.start.size() == std::size(rows));
        for (std::size_t i = 0; i < next.start.size(); ++i) {
            CAPTURE(i);
            CHECK(next.start[i].loading == rows[i].second);
        }
        // One that gave a token waits no more: later plans do not count.
        token(1);
        token(3);
        fail();
        const auto again = queue.next(kModel.hash, 9, {kStart + 20s, kStart + 27s});
        CHECK(again.start[0].loading == 4s);
        CHECK(again.start[1].loading == 7s);
        CHECK(again.start[2].loading == 3s);
    }

    TEST_CASE_FIXTURE(Fixture, "a job goes on with the tokens that it has") {
        add(1);
        CHECK(start() == Ids{1});
        token(1);
        token(1);
        fail();
        const auto next = queue.next(kModel.hash, 4, kLoading);
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
