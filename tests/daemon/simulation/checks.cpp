// What must be true of every run.
#include <algorithm>

#include "tests/daemon/simulation/scenario.hpp"
#include "tests/daemon/support.hpp"

namespace shoal::tests::simulation {

using namespace mesh::messages;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

// A device that failed is tried again after longer and longer pauses.
constexpr int kTries = 30;
constexpr auto kTryPause = seconds(10);

std::string code_name(ErrorCode code) {
    static constexpr const char* kNames[] = {"?",         "bad request",   "not found", "busy",
                                             "too large", "unavailable",   "internal",  "cancelled",
                                             "forbidden", "context length"};
    return kNames[static_cast<std::size_t>(code)];
}

// What the timers of a device are for that has nothing to do.
const std::set<std::string> kAtRest{"its description", "warnings of the mesh", "an abdication"};

}  // namespace

// Holds at all times.
void Scenario::check_plans() {
    if (!wrong_.empty()) return;
    for (std::size_t i = 0; i < world_.size(); ++i) {
        if (!world_.lives(i)) continue;
        const Life& life = world_.life(i);
        const std::string who = "device" + std::to_string(i);
        const auto& offer = life.core.member().offer();
        if (offer && offer->plan.id().term != life.mesh.term()) {
            wrong(who + " takes part in a plan of another term than its own");
        }
        for (const auto& [id, device] : life.core.root().devices()) {
            if (id == life.mesh.self() || life.members.contains(id)) continue;
            wrong("the plan of " + who + " goes on with a device that it has lost");
        }
    }
}

void Scenario::check_stories() {
    for (const auto& asked : asked_) check(*asked);
}

void Scenario::check(const Asked& asked) {
    if (!asked.over) {
        const bool crashed = world_.machine(asked.device).lives != asked.life;
        if (!crashed) return wrong(name(asked) + " does not end");
        return world_.count("request: its device went");
    }
    const Story story{asked.events};
    const Event& last = asked.events.back();
    if (const auto* failed = std::get_if<Failed>(&last)) {
        world_.count("request: failed, " + code_name(failed->code));
        if (!excused(asked, *failed)) {
            wrong(name(asked) + " fails without need: " + failed->message);
        }
    }
    const auto* request = std::get_if<Generate>(&asked.request);
    if (request == nullptr) {
        if (!std::holds_alternative<Failed>(last)) world_.count("request: done, no text");
        return;
    }
    if (!story.numbered()) return wrong(name(asked) + " has tokens with a gap or a repeat");
    const Undisturbed expected = undisturbed(*model_files()[asked.model].open, *request);
    const auto ids = story.ids();
    const bool fits = ids.size() <= expected.ids.size() &&
                      std::equal(ids.begin(), ids.end(), expected.ids.begin());
    if (!fits) return wrong(name(asked) + " has another text than undisturbed");
    const Done* done = story.done();
    if (done == nullptr) return;
    if (done->reason == StopReason::cancelled) {
        world_.count("request: cancelled while it ran");
        if (!asked.cancelled) wrong(name(asked) + " is cancelled by nobody");
        return;
    }
    world_.count("request: done");
    std::string text;
    for (const std::int32_t id : expected.ids) text += text_of(id);
    if (ids != expected.ids || done->reason != expected.reason || story.text() != text ||
        done->generated_tokens != ids.size()) {
        wrong(name(asked) + " ends early or with another end than undisturbed");
    }
}

// A failure that the run can be blamed for.
bool Scenario::excused(const Asked& asked, const Failed& failed) {
    const auto poisoned = [](const Asked& request) {
        const auto* generate = std::get_if<Generate>(&request.request);
        return generate != nullptr && generate->prompt == kPoison;
    };
    const auto says = [&](const char* part) {
        return failed.message.find(part) != std::string::npos;
    };
    switch (failed.code) {
        case ErrorCode::cancelled:
            return asked.cancelled;
        case ErrorCode::busy:
            return world_.settings.models.queue < 64;
        case ErrorCode::not_found:
            return asked.unheld;
        case ErrorCode::too_large:
            return !small_.empty();  // and it leads
        case ErrorCode::unavailable:
            return disturbances_ != 0 &&
                   (says("cannot load the model") || says("cannot run the model"));
        case ErrorCode::internal:
            // One fault of an engine ends up to three plans, any other disturbance the fourth.
            return (faults_ >= 2 || (faults_ != 0 && disturbances_ >= 2) || poisoned(asked)) &&
                   says("given up");
        default:
            return false;
    }
}

void Scenario::check_cluster() {
    std::vector<std::size_t> all;
    for (std::size_t i = 0; i < world_.size(); ++i) all.push_back(i);
    const bool agreed =
        world_.run_until([&] { return world_.network.common_root(all).has_value(); }, seconds(30));
    if (!agreed) wrong("the devices do not agree on a root");
}

// Sooner or later a request is carried out by all devices that have memory for a part.
void Scenario::check_nobody_left_out() {
    std::uint32_t devices = 0;
    for (int i = 0; i < kTries; ++i) {
        Generate request;
        request.model = model_files()[0].entry.hash.hex();
        request.prompt = "all together";
        request.max_tokens = 2;
        const std::size_t from = world_.below(world_.size());
        ask(from, request, 0, false);
        const Asked& asked = *asked_.back();
        if (!world_.run_until([&] { return asked.over; }, kTryPause * 6)) {
            return wrong(name(asked) + ", when all is well, does not end");
        }
        const auto* done = std::get_if<Done>(&asked.events.back());
        devices = done == nullptr ? 0 : done->devices;
        if (devices == world_.size() - small_.size()) return world_.count("the end: all take part");
        world_.count("the end: somebody is left out for a while");
        world_.run(kTryPause);
    }
    wrong("of " + std::to_string(world_.size()) + " devices " + std::to_string(devices) +
          " take part in the end");
}

// A while later, that is: a device that hears something new looks at it a moment later.
void Scenario::check_nothing_left() {
    world_.run(seconds(10));
    std::vector<std::string> left;
    const auto at_rest = [&] {
        left = what_is_left();
        return left.empty();
    };
    world_.run_until(at_rest, seconds(10));
    for (const std::string& what : left) wrong(what);
}

std::vector<std::string> Scenario::what_is_left() {
    std::vector<std::string> left;
    for (std::size_t i = 0; i < world_.size(); ++i) {
        Life& life = world_.life(i);
        const std::string who = "device" + std::to_string(i);
        if (life.core.router().pending() != 0) left.push_back(who + " keeps records of requests");
        if (life.core.root().pending() != 0) left.push_back(who + " keeps jobs");
        if (!life.models.idle()) left.push_back(who + " still waits for a model");
        for (const std::string& timer : life.loop.waiting()) {
            if (!kAtRest.contains(timer)) left.push_back(who + " keeps the timer: " + timer);
        }
    }
    return left;
}

}  // namespace shoal::tests::simulation
