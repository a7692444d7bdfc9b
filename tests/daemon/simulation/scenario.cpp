#include "tests/daemon/simulation/scenario.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "daemon/requests/request_ports.hpp"
#include "daemon/requests/status.hpp"
#include "tests/daemon/support.hpp"

namespace shoal::tests::simulation {

using namespace mesh::messages;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr auto kStorm = seconds(25);         // in which things go wrong
constexpr auto kEndPatience = seconds(150);  // for all requests to end, afterwards

// A root refuses a model when it has seen no holder for RequestPatience::joining; less by how often
// that is looked at here.
constexpr auto kLookForHolders = milliseconds(200);
constexpr auto kUnheld = RequestPatience{}.joining - 2 * kLookForHolders;

}  // namespace

Scenario::Scenario(std::uint64_t seed, Coverage& coverage, bool verbose)
    : world_(seed, coverage, verbose) {
    world_.settings.models.queue = world_.chance(0.1) ? 2 : 64;
    world_.settings.plans = {};
    world_.network.set_reachable([this](std::size_t a, std::size_t b) {
        return split_.contains(a) == split_.contains(b) && !cut_.contains(std::minmax(a, b));
    });
    world_.watch = [this] { check_plans(); };
    make_devices();
    plan_requests();
    plan_disturbances();
    look_for_holders();
}

void Scenario::make_devices() {
    const std::size_t devices = 2 + world_.below(4);
    everywhere_ = world_.chance(0.7);
    for (std::size_t i = 0; i < devices; ++i) {
        Machine machine;
        machine.memory = std::uint64_t{8} << 30;
        machine.speed = 1e9 * static_cast<double>(std::uint64_t{1} << world_.below(3));
        for (std::size_t file = 0; file < model_files().size(); ++file) {
            if (everywhere_ || i == 0 || world_.chance(0.5)) machine.disk.insert(file);
        }
        if (i != 0 && world_.chance(0.05)) {
            machine.memory = 1024;
            small_.insert(i);
        }
        world_.add(std::move(machine));
        const auto when = world_.chance(0.8) ? world_.below(2000) : 5000 + world_.below(10'000);
        world_.at(milliseconds(when), [this, i] {
            if (!world_.lives(i)) world_.start(i);
        });
    }
}

void Scenario::plan_requests() {
    const std::size_t count = 5 + world_.below(8);
    for (std::size_t i = 0; i < count; ++i) {
        const auto when = 500 + world_.below(std::chrono::milliseconds(kStorm).count());
        world_.at(milliseconds(when), [this] { ask(); });
    }
}

void Scenario::ask() {
    std::vector<std::size_t> alive;
    for (std::size_t i = 0; i < world_.size(); ++i) {
        if (world_.lives(i)) alive.push_back(i);
    }
    if (alive.empty()) return;
    const std::size_t device = alive[world_.below(alive.size())];
    const std::size_t model = world_.chance(0.2) ? 1 : 0;
    const CatalogueEntry& entry = model_files()[model].entry;
    const bool path = world_.chance(0.05);
    const std::string by = path                 ? entry.path.string()
                           : world_.chance(0.5) ? entry.name
                                                : entry.hash.hex();
    const bool cancelled = world_.chance(0.15);
    const double kind = std::uniform_real_distribution<>(0, 1)(world_.random);
    if (kind < 0.05) return ask(device, LoadRequest{by}, model, cancelled);
    if (kind < 0.10) return ask(device, TokenizeRequest{by, "Once upon a time"}, model, cancelled);
    if (kind < 0.15) return ask(device, StatusRequest{}, model, cancelled);
    if (kind < 0.17) return ask(device, UnloadRequest{by}, model, cancelled);
    Generate request;
    request.model = by;
    request.prompt = std::string("prompt ").append(std::to_string(world_.below(1000)));
    if (world_.chance(0.02)) {
        request.prompt = kPoison;
        ++faults_;
    }
    request.max_tokens = static_cast<std::uint32_t>(1 + world_.below(40));
    request.sampling.temperature = 0;
    request.ignore_eos = world_.chance(0.5);
    if (world_.chance(0.2)) request.keep_alive = static_cast<std::int32_t>(world_.below(6)) - 1;
    ask(device, request, model, cancelled);
}

void Scenario::ask(std::size_t device, Request request, std::size_t model, bool cancelled_later) {
    Asked& asked = *asked_.emplace_back(std::make_unique<Asked>());
    asked.device = device;
    asked.life = world_.machine(device).lives;
    asked.request = std::move(request);
    asked.model = model;
    asked.begun = world_.time.now();
    note_holders();
    world_.log(name(asked) + " is asked");
    asked.ticket = world_.life(device).core.service().start(
        asked.request, Door::control,
        [this, &asked](const Event& event) { on_event(asked, event); });
    if (!cancelled_later) return;
    world_.at(milliseconds(world_.below(5000)), [this, &asked] {
        if (!world_.lives(asked.device) || world_.machine(asked.device).lives != asked.life) return;
        world_.log(name(asked) + " is cancelled");
        asked.cancelled = true;
        world_.life(asked.device).core.service().cancel(asked.ticket);
    });
}

void Scenario::on_event(Asked& asked, const Event& event) {
    if (asked.over) wrong(name(asked) + " goes on after its end");
    asked.events.push_back(event);
    asked.over = is_final(event);
    if (const auto* token = std::get_if<Token>(&event)) count_moves(asked, *token);
    if (const auto* failed = std::get_if<Failed>(&event)) {
        note_holders();
        const auto unheld = unheld_.find(asked.model);
        asked.unheld = unheld != unheld_.end() && unheld->second >= *asked.begun;
        world_.log(name(asked) + " fails: " + failed->message);
    } else if (asked.over) {
        world_.log(name(asked) + " ends");
    }
}

void Scenario::count_moves(Asked& asked, const Token& token) {
    const mesh::Term term = world_.network.core(asked.device).term();
    const mesh::Term before = asked.term.value_or(term);
    asked.term = term;
    if (before.candidate != term.candidate) {
        world_.count("request: goes on at another root");
    } else if (before != term) {
        world_.count("request: goes on at its root, elected again");
    } else if (token.index != 0 && !token.model.empty()) {
        world_.count("request: goes on under another plan");
    }
}

void Scenario::look_for_holders() {
    note_holders();
    if (everywhere_ || (healed_ && !waiting())) return;
    world_.at(kLookForHolders, [this] { look_for_holders(); });
}

void Scenario::note_holders() {
    const Loop::Time now = world_.time.now();
    for (std::size_t i = 0; i < world_.size(); ++i) {
        const bool root = world_.lives(i) && world_.network.root(i) == i;
        for (std::size_t model = 0; model < model_files().size(); ++model) {
            auto& seen = seen_[{i, model}];
            if (!root || held(i, model)) seen = now;
            if (now - seen >= kUnheld) unheld_[model] = now;
        }
    }
}

// Whether a device that the root sees says that it has the model's file.
bool Scenario::held(std::size_t root, std::size_t model) {
    const auto members = world_.network.core(root).members();
    return std::any_of(members.begin(), members.end(), [&](const mesh::Member& member) {
        const auto models = announcement_of(member).models;
        return std::any_of(models.begin(), models.end(), [&](const auto& known) {
            return known.hash == model_files()[model].entry.hash.bytes;
        });
    });
}

void Scenario::plan_disturbances() {
    if (world_.chance(0.1)) return;
    const std::size_t count = 1 + world_.below(6);
    for (std::size_t i = 0; i < count; ++i) {
        const auto when = 1000 + world_.below(std::chrono::milliseconds(kStorm).count());
        world_.at(milliseconds(when), [this] { disturb(); });
    }
}

void Scenario::restart_later(std::size_t device) {
    const auto after = world_.chance(0.3) ? 20 + world_.below(200) : world_.below(10'000);
    world_.at(milliseconds(after), [this, device] {
        if (!world_.lives(device)) world_.start(device);
    });
}

void Scenario::disturb() {
    ++disturbances_;
    const std::size_t device = world_.below(world_.size());
    const auto kind = world_.below(12);
    if (kind < 3) {
        if (!world_.lives(device)) return;
        world_.stop(device, static_cast<World::End>(world_.below(3)));
        return restart_later(device);
    }
    if (kind < 6) return disturb_network();
    if (kind < 8) return disturb_messages();
    disturb_engine(device);
}

void Scenario::disturb_network() {
    const milliseconds lasts(200 + world_.below(world_.chance(0.5) ? 2000 : 15'000));
    const std::size_t device = world_.below(world_.size());
    switch (world_.below(3)) {
        case 0:
            world_.log("the network splits");
            world_.count("disturbance: the network splits");
            split_.clear();
            for (std::size_t i = 0; i < world_.size(); ++i) {
                if (world_.chance(0.5)) split_.insert(i);
            }
            return world_.at(lasts, [this] {
                world_.log("the network heals");
                split_.clear();
            });
        case 1: {
            const std::size_t other = world_.below(world_.size());
            if (other == device) return;
            const auto pair = std::minmax(device, other);
            world_.log("device" + std::to_string(device) + " and " + std::to_string(other) +
                       " are cut off from each other");
            world_.count("disturbance: two devices are cut off from each other");
            cut_.insert(pair);
            return world_.at(lasts, [this, pair = std::pair<std::size_t, std::size_t>(pair)] {
                world_.log("a connection heals");
                cut_.erase(pair);
            });
        }
        default:
            world_.count("disturbance: messages get lost");
            world_.network.set_loss(0.3 * static_cast<double>(world_.below(100)) / 100);
            return world_.at(lasts, [this] { world_.network.set_loss(0); });
    }
}

void Scenario::disturb_messages() {
    const std::size_t device = world_.below(world_.size());
    switch (world_.below(3)) {
        case 0:
            return overtake();
        case 1:
            world_.count("disturbance: an application message gets lost");
            return world_.network.lose_next_application_message(
                [this](std::size_t from, std::size_t to) {
                    world_.log("a message from device" + std::to_string(from) + " to " +
                               std::to_string(to) + " gets lost");
                });
        default:
            world_.log("device" + std::to_string(device) + " has no room for messages");
            world_.count("disturbance: no room for messages");
            world_.machine(device).faults.full = true;
            return world_.at(milliseconds(100 + world_.below(2000)),
                             [this, device] { world_.machine(device).faults.full = false; });
    }
}

// Elections overtake what a root has still to say: another one leads for a while.
void Scenario::overtake() {
    const auto root = world_.network.root(0);
    if (!root || !world_.lives(*root)) return;
    world_.log("what device" + std::to_string(*root) + " says comes late");
    world_.count("disturbance: elections overtake messages");
    world_.network.set_queueing(*root, milliseconds(50 + world_.below(5000)));
    Generate request;  // that is still there when it leads again
    request.model = model_files()[0].entry.hash.hex();
    request.prompt = "overtaken";
    request.max_tokens = 200;
    request.ignore_eos = true;
    if (const std::size_t device = world_.below(world_.size()); world_.lives(device)) {
        ask(device, request, 0, false);
    }
    const auto prefer = [this, root = *root](std::int32_t priority) {
        world_.machine(root).priority = priority;
        if (world_.lives(root)) world_.life(root).core.describe();
    };
    const milliseconds back(50 + world_.below(world_.chance(0.5) ? 1000 : 5000));
    world_.at(milliseconds(world_.below(3000)), [prefer] { prefer(-1); });
    world_.at(milliseconds(3000) + back, [prefer] { prefer(1); });
    world_.at(milliseconds(6000) + back, [this, root = *root, prefer] {
        prefer(0);
        world_.network.set_queueing(root, milliseconds(0));
    });
}

void Scenario::disturb_engine(std::size_t device) {
    Faults& faults = world_.machine(device).faults;
    const milliseconds lasts(200 + world_.below(world_.chance(0.5) ? 3000 : 15'000));
    const std::string who = "device" + std::to_string(device);
    ++faults_;
    switch (world_.below(6)) {
        case 0:
            faults.loads_to_fail = static_cast<std::uint32_t>(1 + world_.below(3));
            world_.log(who + " will fail to load");
            return world_.count("disturbance: loading fails");
        case 1:
            faults.runs_to_fail = static_cast<std::uint32_t>(1 + world_.below(3));
            faults.good_steps = world_.below(3);
            world_.log(who + " will fail in a step");
            return world_.count("disturbance: steps fail");
        case 2:
            faults.frozen_until = world_.time.now() + lasts;
            world_.log(who + " freezes");
            return world_.count("disturbance: an engine freezes");
        case 3:
            faults.stuck_until = world_.time.now() + 2 * lasts;
            world_.log(who + " does not come on with loading");
            return world_.count("disturbance: loading is stuck");
        case 4:
            faults.slowness = 2 + static_cast<double>(world_.below(8));
            world_.log(who + " is slow");
            world_.count("disturbance: an engine is slow");
            return world_.at(lasts, [this, device] { world_.machine(device).faults.slowness = 1; });
        default:
            faults.unreadable_until = world_.time.now() + lasts;
            world_.log(who + " cannot read its files");
            return world_.count("disturbance: files cannot be read");
    }
}

void Scenario::heal() {
    healed_ = true;
    world_.log("all is well from here on");
    split_.clear();
    cut_.clear();
    world_.network.set_loss(0);
    world_.network.lose_no_application_message();
    for (std::size_t i = 0; i < world_.size(); ++i) {
        world_.machine(i).faults = {};
        world_.network.set_queueing(i, milliseconds(0));
        if (!world_.lives(i)) world_.start(i);
    }
}

bool Scenario::waiting() const {
    return std::any_of(asked_.begin(), asked_.end(), [&](const auto& asked) {
        return !asked->over && world_.lives(asked->device) &&
               asked->life == world_.machine(asked->device).lives;
    });
}

std::vector<std::string> Scenario::run() {
    world_.run(kStorm + seconds(2));
    heal();
    world_.run_until([this] { return !waiting(); }, kEndPatience);
    check_stories();
    if (!wrong_.empty()) return wrong_;
    check_cluster();
    check_nobody_left_out();
    check_nothing_left();
    return wrong_;
}

void Scenario::wrong(const std::string& what) {
    world_.log("WRONG: " + what);
    wrong_.push_back(what);
}

std::string Scenario::name(const Asked& asked) const {
    const auto number = std::find_if(asked_.begin(), asked_.end(),
                                     [&](const auto& other) { return other.get() == &asked; }) -
                        asked_.begin();
    return "request " + std::to_string(number) + " of device" + std::to_string(asked.device);
}

}  // namespace shoal::tests::simulation
