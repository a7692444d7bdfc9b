#include "daemon/core/whole_fetch.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/daemon/support.hpp"
#include "tests/daemon/virtual_loop.hpp"

namespace whole_fetch_test {

using namespace shoal;
using namespace shoal::tests;
using namespace mesh::messages;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr std::uint64_t kMegabyte = kMaxPieceBytes;

mesh::ModelHash hash(std::uint8_t number) {
    mesh::ModelHash out;
    out.bytes[0] = number;
    return out;
}

// A disk that takes what comes, or says what a test says.
class Disk final : public WholeFiles {
  public:
    explicit Disk(Loop& loop) : loop_(loop) {}

    std::vector<mesh::ModelHash> begun() const override { return {}; }
    void begin(const KnownModel& of, const FilePart& part, Done done) override {
        model = of.name;
        parts.push_back(part);
        loop_.post([this, done] { done(std::exchange(already, 0), trouble); });
    }
    void write(std::uint64_t offset, std::vector<std::byte> bytes, Done done) override {
        written.push_back(offset);
        loop_.post([this, here = offset + bytes.size(), done] { done(here, trouble); });
    }
    void finish(Done done) override {
        ++finished;
        loop_.post([this, done] { done(0, trouble); });
    }
    void leave() override { ++left; }
    void pause(bool busy) override { paused = busy; }
    void read(const FileRequest& request, std::function<void(FileReply)> done) override {
        FileReply reply;
        reply.data.resize(request.bytes);
        loop_.post([done, reply] { done(reply); });
    }

    std::string model;
    std::vector<FilePart> parts;
    std::vector<std::uint64_t> written;
    std::uint64_t already = 0;  // of the part begun next
    FileTrouble trouble;
    int finished = 0, left = 0;
    bool paused = false;

  private:
    Loop& loop_;
};

// This device is number 1; others hold files that come at a speed.
struct Fixture {
    VirtualTime time;
    VirtualLoop loop{time};
    Disk disk{loop};
    std::vector<KnownModel> wanted{{hash(1), "one", 3 * kMegabyte + 5}};
    std::vector<mesh::DeviceId> holders{device_id(2)};
    bool busy = false;
    std::uint64_t exchanges = 0;
    std::uint32_t parts = 1;
    milliseconds takes{10};
    std::optional<Warning> told;
    std::vector<std::pair<mesh::DeviceId, FileRequest>> asked;
    std::vector<FileReply> given;
    std::function<void(const mesh::DeviceId&, FileReply&)> twist = [](const auto&, auto&) {};
    bool answers = true;
    std::vector<Timer> timers;
    WholeFetch fetch{loop, &disk, links()};

    Fixture() { fetch.start(); }

    WholeFetch::Links links() {
        WholeFetch::Links out;
        out.self = device_id(1);
        out.wanted = [this] { return wanted; };
        out.holders = [this](const mesh::ModelHash&) { return holders; };
        out.busy = [this] { return busy; };
        out.exchanges = [this] { return exchanges; };
        out.send = [this](const mesh::DeviceId& to, const PlanFrame& frame) {
            if (const auto* reply = std::get_if<FileReply>(&frame.body)) given.push_back(*reply);
            if (const auto* request = std::get_if<FileRequest>(&frame.body)) {
                answer(to, frame.id, *request);
            }
            return true;
        };
        out.tell = [this](std::optional<Warning> warning) { told = std::move(warning); };
        return out;
    }
    void answer(const mesh::DeviceId& holder, std::uint64_t id, const FileRequest& request) {
        asked.emplace_back(holder, request);
        if (!answers) return;
        FileReply reply;
        reply.parts = parts;
        for (const KnownModel& m : wanted) {
            if (m.hash.bytes == request.model) reply.total = m.file_bytes / parts;
        }
        reply.data.resize(request.bytes);
        twist(holder, reply);
        timers.push_back(
            loop.after(takes, [this, holder, id, reply] { fetch.on_reply(holder, id, reply); }));
    }
    std::size_t asked_within(milliseconds while_) {
        const std::size_t before = asked.size();
        time.pass(while_);
        return asked.size() - before;
    }
};

}  // namespace

TEST_SUITE("WholeFetch") {
    TEST_CASE_FIXTURE(Fixture, "a file comes in order, half of the time, and is finished once") {
        takes = milliseconds(1000);
        time.pass(seconds(1));
        REQUIRE(asked.size() == 1);
        CHECK(asked[0].second.bytes == 0);  // how long it is
        // One request in two seconds.
        CHECK(asked_within(milliseconds(1999)) == 0);
        CHECK(asked_within(milliseconds(1)) == 1);
        CHECK(asked_within(seconds(6)) == 3);
        time.pass(seconds(60));
        CHECK(disk.written ==
              std::vector<std::uint64_t>{0, kMegabyte, 2 * kMegabyte, 3 * kMegabyte});
        CHECK(asked.back().second.bytes == 5);
        CHECK(asked.back().second.part == 1);
        CHECK(disk.finished == 1);
        CHECK(asked.size() == 5);
        CHECK_FALSE(told.has_value());
    }

    TEST_CASE_FIXTURE(Fixture, "it goes on behind what is here") {
        disk.already = 2 * kMegabyte;
        time.pass(seconds(60));
        CHECK(disk.written == std::vector<std::uint64_t>{2 * kMegabyte, 3 * kMegabyte});
        CHECK(disk.finished == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "what is here whole is only finished") {
        disk.already = wanted[0].file_bytes;
        time.pass(seconds(60));
        CHECK(disk.written.empty());
        CHECK(disk.finished == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "files of a split model come one after the other") {
        wanted[0].file_bytes = 3 * kMegabyte;
        parts = 3;
        time.pass(seconds(60));
        REQUIRE(disk.parts.size() == 3);
        for (std::uint32_t i = 0; i < 3; ++i) {
            CHECK(disk.parts[i].number == i + 1);
            CHECK(disk.parts[i].parts == 3);
            CHECK(disk.parts[i].total == kMegabyte);
        }
        CHECK(disk.written == std::vector<std::uint64_t>{0, 0, 0});
        CHECK(disk.finished == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "nothing is asked for while this device computes, nor just after") {
        wanted[0].file_bytes = 1000 * kMegabyte;
        takes = milliseconds(100);
        time.pass(seconds(2));
        CHECK_FALSE(disk.written.empty());
        CHECK_FALSE(disk.paused);
        busy = true;
        CHECK(asked_within(seconds(100)) <= 1);
        CHECK(disk.paused);
        busy = false;
        CHECK(asked_within(milliseconds(900)) == 0);
        CHECK(asked_within(seconds(4)) > 5);
        // Steps of a plan that another device leads.
        for (int i = 0; i < 100; ++i) {
            ++exchanges;
            const std::size_t more = asked_within(seconds(1));
            CHECK((i == 0 || more == 0));
        }
        CHECK(asked_within(milliseconds(900)) == 0);
        CHECK(asked_within(seconds(4)) > 5);
        REQUIRE(told.has_value());
        CHECK(told->severity == Severity::notice);
        CHECK(told->text.find("one") != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "a busy holder is asked again after a while, others at once") {
        wanted[0].file_bytes = 100'000 * kMegabyte;
        bool computes = true;
        twist = [&](const mesh::DeviceId& holder, FileReply& reply) {
            reply.busy = computes && holder == device_id(2);
            if (reply.busy) reply.data.clear();
        };
        time.pass(seconds(1));
        CHECK(asked_within(seconds(60)) <= 30);
        CHECK(disk.written.empty());
        holders.push_back(device_id(3));
        time.pass(seconds(10));
        CHECK(disk.written.size() > 100);
        const auto to_two = [&] {
            return std::ranges::count(asked, device_id(2), [](const auto& a) { return a.first; });
        };
        const auto before = to_two();
        time.pass(seconds(10));
        CHECK(to_two() - before <= 5);
        computes = false;
        time.pass(seconds(10));
        CHECK(to_two() - before > 50);
    }

    TEST_CASE_FIXTURE(Fixture, "a holder that dies, refuses or sends nonsense is left alone") {
        wanted[0].file_bytes = 1000 * kMegabyte;
        time.pass(seconds(3));
        REQUIRE(disk.written.size() > 2);
        SUBCASE("it does not answer") {
            answers = false;
        }
        SUBCASE("it refuses") {
            twist = [](const auto&, FileReply& reply) { reply.error = "no"; };
        }
        SUBCASE("it sends too much") {
            twist = [](const auto&, FileReply& reply) { reply.data.resize(reply.data.size() + 1); };
        }
        SUBCASE("its file has another length") {
            twist = [](const auto&, FileReply& reply) { ++reply.total; };
        }
        const std::size_t written = disk.written.size();
        time.pass(seconds(3));
        CHECK(asked_within(seconds(50)) <= 1);
        CHECK(disk.written.size() <= written + 1);
        // Another one has it, too: it goes on where it was.
        holders = {device_id(3)};
        answers = true;
        twist = [](const auto&, FileReply&) {};
        time.pass(seconds(40));
        CHECK(disk.written.size() > written + 100);
        CHECK(std::ranges::is_sorted(disk.written));
        CHECK(disk.parts.size() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "without a holder it waits") {
        wanted[0].file_bytes = 1000 * kMegabyte;
        time.pass(seconds(3));
        holders.clear();
        time.pass(seconds(1));
        CHECK(asked_within(hours(10)) == 0);
        holders = {device_id(4)};
        CHECK(asked_within(seconds(3)) > 5);
        CHECK(disk.parts.size() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "what is not wanted any more is left, and gone on with later") {
        wanted[0].file_bytes = 1000 * kMegabyte;
        const auto one = wanted;
        time.pass(seconds(3));
        wanted.clear();
        time.pass(seconds(1));
        CHECK(disk.left == 1);
        CHECK_FALSE(told.has_value());
        CHECK(asked_within(hours(1)) == 0);
        wanted = {{hash(2), "two", kMegabyte}};
        time.pass(seconds(5));
        CHECK(disk.model == "two");
        CHECK(disk.finished == 1);
        disk.already = 5 * kMegabyte;
        wanted = one;
        const std::size_t before = disk.written.size();
        time.pass(seconds(5));
        CHECK(disk.model == "one");
        REQUIRE(disk.written.size() > before);
        CHECK(disk.written[before] == 5 * kMegabyte);
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a more urgent model comes first, and nothing of the other into it") {
        wanted[0].file_bytes = 1000 * kMegabyte;
        time.pass(seconds(3));
        const auto one = wanted[0];
        wanted = {{hash(2), "two", 2 * kMegabyte}, one};
        disk.written.clear();
        time.pass(milliseconds(1100));
        CHECK(disk.model == "two");
        CHECK(disk.finished == 1);
        const auto begin = std::ranges::find(disk.written, 0U);
        REQUIRE(begin + 1 < disk.written.end());
        CHECK(*(begin + 1) == kMegabyte);
    }

    TEST_CASE_FIXTURE(Fixture, "a full disk is tried again after an hour, what lasts is not") {
        disk.trouble = {"no room", false, false};
        time.pass(seconds(5));
        const std::size_t before = asked.size();
        REQUIRE(told.has_value());
        CHECK(told->text.find("no room") != std::string::npos);
        time.pass(hours(1) - seconds(10));
        CHECK(asked.size() == before);
        // The next model meanwhile.
        disk.trouble = {};
        wanted.push_back({hash(2), "two", kMegabyte});
        time.pass(seconds(5));
        CHECK(disk.model == "two");
        disk.trouble = {"it is another file", true, false};
        time.pass(seconds(20));
        CHECK(disk.model == "one");
        const std::size_t then = asked.size();
        CHECK(told->text.find("another file") != std::string::npos);
        disk.trouble = {};
        time.pass(hours(100));
        CHECK(asked.size() == then);
        CHECK(disk.finished == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "what somebody removes is left without a word") {
        wanted[0].file_bytes = 1000 * kMegabyte;
        time.pass(seconds(3));
        REQUIRE(told.has_value());
        disk.trouble = {"it was removed", true, true};
        time.pass(seconds(3));
        CHECK_FALSE(told.has_value());
        CHECK(disk.left == 1);
        disk.trouble = {};
        CHECK(asked_within(hours(100)) == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "nothing is given while this device computes, nor just after") {
        wanted.clear();
        time.pass(seconds(5));
        const auto give = [&] {
            fetch.on_request(device_id(2), 7, {hash(1).bytes, 1, 0, 100});
            time.settle();
            return given.back();
        };
        CHECK(give().data.size() == 100);
        ++exchanges;
        CHECK(give().busy);
        CHECK(give().data.empty());
        time.pass(seconds(3));
        CHECK_FALSE(give().busy);
        busy = true;
        CHECK(give().busy);
        busy = false;
        CHECK(give().busy);
        time.pass(seconds(2));
        CHECK(give().data.size() == 100);
    }
}

}  // namespace whole_fetch_test
