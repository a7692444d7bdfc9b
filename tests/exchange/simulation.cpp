#include "tests/exchange/simulation.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "mesh/exchange/lockstep.hpp"
#include "tests/exchange/pattern.hpp"

namespace shoal::mesh::testing {

namespace {

using namespace std::chrono_literals;
using exchange::Collective;
using exchange::FrameKind;
using exchange::Lockstep;
using Kind = Collective::Kind;

constexpr milliseconds kSilenceLimit = 10s;
/// Membership ends a plan that lost a device; here so late that the exchange has its chance.
constexpr milliseconds kPlanEnds = 30s;
/// No plan takes longer, or has more events.
constexpr milliseconds kAtMost = 10min;
constexpr std::uint64_t kMostEvents = 1'000'000;

/// How a plan ends before its last collective.
enum class Ending : std::uint8_t { none, leave, crash, stop };

/// What a seed means.
struct Scenario {
    std::uint32_t ranks = 2;
    std::vector<Collective> script;  ///< without payloads
    Weather weather;
    microseconds pause{200};      ///< between two collectives, at most
    std::uint32_t slow_rank = 0;  ///< whose pauses are ten times as long
    bool calm = false;            ///< nothing is lost, nobody slow
    Ending ending = Ending::none;
    std::uint32_t victim = 0;    ///< who leaves or crashes,
    std::size_t ends_at = 0;     ///< before this one of its collectives
    bool in_the_middle = false;  ///< or during it
};

/// Steps of decoding, or runs of one collective, in which senders get ahead.
std::vector<Collective> draw_script(Random& random, std::uint32_t ranks) {
    std::vector<Collective> script;
    const std::size_t length = 10 + random.below(30);
    const bool decoding = random.chance(40);
    while (script.size() < length) {
        if (decoding) {
            script.push_back({Kind::broadcast, 0});
            for (int i = 0; i < 4; ++i) {
                if (random.chance(50)) script.push_back({Kind::all_to_all, 0});
                script.push_back({Kind::all_gather, 0});
            }
            script.push_back({Kind::gather, 0});
        } else {
            const Collective what{static_cast<Kind>(random.below(4)),
                                  static_cast<std::uint32_t>(random.below(ranks))};
            script.insert(script.end(), 1 + random.below(random.chance(30) ? 20 : 4), what);
        }
    }
    // Whoever idles after this owes nobody anything.
    script.push_back({Kind::gather, 0});
    return script;
}

Scenario draw(Random& random) {
    Scenario plan;
    plan.ranks = static_cast<std::uint32_t>(2 + random.below(4));
    plan.script = draw_script(random, plan.ranks);
    plan.slow_rank = static_cast<std::uint32_t>(random.below(plan.ranks));
    plan.calm = random.chance(15);
    Weather& weather = plan.weather;
    if (plan.calm) {
        weather.first_within = 5ms;
    } else {
        if (random.chance(30)) weather.most_delay = 30ms;
        weather.ordered = random.chance(50);
        if (random.chance(20)) weather.repeat_percent = 10;
        // A device that waits for a broadcast asks less and less often, so the network has to let
        // most of the questions through.
        if (random.chance(30)) {
            weather.queue_frames = 1 + random.below(4);
        } else {
            if (random.chance(50)) weather.loss_percent = 1 + random.below(10);
            if (random.chance(50)) weather.cut_every = milliseconds(200 + random.below(800));
            weather.heal_within = milliseconds(1 + random.below(100));
        }
        if (random.chance(30)) plan.pause = 10ms;
    }
    if (random.chance(30)) plan.ending = static_cast<Ending>(1 + random.below(3));
    plan.victim = static_cast<std::uint32_t>(random.below(plan.ranks));
    plan.ends_at = random.below(plan.script.size());
    plan.in_the_middle = random.chance(50);
    return plan;
}

/// Payloads differ in size between ranks and collectives and include nothing at all.
std::size_t size_of(std::uint32_t rank, std::uint64_t op) {
    constexpr std::size_t kSizes[] = {0, 1, 63, 217, 40, 3000, 3, 52, 200};
    return kSizes[(op * 5 + rank * 2) % std::size(kSizes)];
}

/// Of an all-to-all: another size for each pair, there and back.
std::size_t size_of(std::uint32_t from, std::uint32_t to, std::uint64_t op) {
    return size_of(from + 3 * to, op + from * to);
}

class Simulation {
  public:
    explicit Simulation(std::uint64_t seed)
        : random_(seed), plan_(draw(random_)), network_(plan_.ranks, plan_.weather, random_) {
        exchange::Place place{{{seed, {}}, 1}, 0, std::vector<Peer>(plan_.ranks)};
        for (std::uint32_t r = 0; r < plan_.ranks; ++r) {
            place.devices[r].id.bytes.fill(static_cast<std::uint8_t>(r + 1));
        }
        for (std::uint32_t r = 0; r < plan_.ranks; ++r) {
            place.rank = r;
            devices_.push_back(std::make_unique<Device>(network_, place, stats_));
            network_.set_alarm(r, network_.now());
        }
    }

    Coverage run() {
        const Time start = network_.now();
        std::uint64_t events = 0;
        while (std::any_of(devices_.begin(), devices_.end(),
                           [](const auto& device) { return !device->over; })) {
            const auto whose = network_.next();
            expect(whose.has_value(), "everyone waits for ever");
            expect(network_.now() - start < kAtMost, "it does not end");
            expect(++events < kMostEvents, "it goes round in circles");
            if (plan_ends_ && network_.now() >= *plan_ends_) stop_all();
            if (!devices_[*whose]->over) go_on(*whose);
        }
        judge();
        return coverage();
    }

  private:
    struct Device {
        Device(VirtualNetwork& network, const exchange::Place& place, DataPlaneStats& stats)
            : steps(network.port(place.rank), place, kSilenceLimit, stats) {}

        Lockstep steps;
        std::optional<Parts> parts;  ///< of the last all-to-all
        std::size_t ended = 0;       ///< collectives of the script that ended well
        bool joined = false;
        bool computing = true;              ///< not in a collective
        Time begins_at{};                   ///< when it is computing: the next one
        bool over = false;                  ///< takes no part any more
        std::optional<ExchangeStatus> end;  ///< unless it left or crashed
    };

    /// As far as a device comes now.
    void go_on(std::uint32_t rank) {
        Device& device = *devices_[rank];
        for (;;) {
            if (device.computing) {
                if (network_.now() < device.begins_at) {
                    return network_.set_alarm(rank, device.begins_at);
                }
                check_payloads(rank);  // They are there until now.
                if (ends_here(rank, /*in_the_middle=*/false)) return;
                begin(rank);
                if (device.over) return;
            }
            const auto status = device.steps.step(network_.now());
            if (!status) {
                ++counts_.waits[static_cast<std::size_t>(device.steps.goal())];
                if (ends_here(rank, /*in_the_middle=*/true)) return;
                return network_.set_alarm(rank, device.steps.deadline());
            }
            if (*status != ExchangeStatus::ok) return over(rank, *status);
            if (device.joined) {
                ++counts_.kinds[static_cast<std::size_t>(plan_.script[device.ended].kind)];
                ++device.ended;
            }
            device.joined = true;
            check_payloads(rank);
            device.computing = true;
            const bool slow = rank == plan_.slow_rank && !plan_.calm;
            device.begins_at = network_.now() + random_.between(0us, (slow ? 10 : 1) * plan_.pause);
        }
    }

    void begin(std::uint32_t rank) {
        Device& device = *devices_[rank];
        device.computing = false;
        if (!device.joined) return device.steps.join(network_.now(), kSilenceLimit);
        if (device.ended < plan_.script.size()) {
            Collective what = plan_.script[device.ended];
            const std::uint64_t op = device.steps.op() + 1;
            if (what.kind == Kind::all_to_all) {
                device.parts.emplace(rank, plan_.ranks, op,
                                     [&](std::uint32_t to) { return size_of(rank, to, op); });
                what.parts = device.parts->views;
                return device.steps.begin(network_.now(), what);
            }
            const auto payload = pattern(rank, op, size_of(rank, op));
            what.payload = payload;
            return device.steps.begin(network_.now(), what);
        }
        if (rank != 0) {  // serves the others until the root has it all
            return device.steps.begin(network_.now(), {Kind::broadcast, 0});
        }
        device.steps.leave();
        over(rank, ExchangeStatus::ok);
    }

    void over(std::uint32_t rank, std::optional<ExchangeStatus> end) {
        devices_[rank]->over = true;
        devices_[rank]->end = end;
        if (!plan_ends_) plan_ends_ = network_.now() + kPlanEnds;
    }

    void stop_all() {
        for (std::uint32_t r = 0; r < plan_.ranks; ++r) {
            if (devices_[r]->over) continue;
            devices_[r]->steps.stop();
            over(r, ExchangeStatus::aborted);
        }
    }

    /// Whether the scenario ends the plan or this device's part in it here, and does so.
    bool ends_here(std::uint32_t rank, bool in_the_middle) {
        const Device& device = *devices_[rank];
        if (plan_.ending == Ending::none || rank != plan_.victim || !device.joined ||
            device.ended != plan_.ends_at || plan_.in_the_middle != in_the_middle) {
            return false;
        }
        switch (plan_.ending) {
            case Ending::none:
                break;
            case Ending::leave:
                devices_[rank]->steps.leave();
                over(rank, std::nullopt);
                ++counts_.left;
                break;
            case Ending::crash:
                over(rank, std::nullopt);
                ++counts_.crashed;
                break;
            case Ending::stop:
                stop_all();
                ++counts_.stopped;
                break;
        }
        return true;
    }

    void check_payloads(std::uint32_t rank) const {
        const Device& device = *devices_[rank];
        if (device.ended == 0) return;  // the hello, or nothing
        const Collective& what = plan_.script[device.ended - 1];
        const std::uint64_t op = device.steps.op();
        for (std::uint32_t r = 0; r < plan_.ranks; ++r) {
            if (what.kind == Kind::all_to_all) {
                expect_pattern(device.steps.payload(r), way(r, rank), op, size_of(r, rank, op));
                continue;
            }
            const bool sees = what.kind == Kind::all_gather ||
                              (what.kind == Kind::broadcast ? r == what.root : rank == what.root);
            if (sees) expect_pattern(device.steps.payload(r), r, op, size_of(r, op));
        }
    }

    void judge() const {
        const bool finished = devices_[0]->end == ExchangeStatus::ok;
        for (const auto& device : devices_) {
            const bool whole = device->ended == plan_.script.size();
            expect(!finished || whole, "the root finished and another did not");
            expect(finished || plan_.ending != Ending::none,
                   "failed: " + device->steps.failure().what);
            // Nothing gets lost here, so everybody hears of it.
            expect(plan_.ending == Ending::crash || !is_reliable() ||
                       device->end != ExchangeStatus::timed_out,
                   "timed out: " + device->steps.failure().what);
            expect(finished || plan_.ending != Ending::leave || !is_reliable() ||
                       network_.now() < *plan_ends_,
                   "nobody noticed that a device left");
        }
        expect(stats_.malformed == 0 && stats_.foreign == 0, "frames that nobody understands");
        if (!plan_.calm || plan_.ending == Ending::crash) return;
        expect(stats_.asked == 0 && stats_.resent == 0 && stats_.duplicates == 0 &&
                   network_.counts().kinds[static_cast<std::size_t>(FrameKind::probe)] == 0,
               "questions without need");
    }

    bool is_reliable() const {
        return plan_.weather.loss_percent == 0 && plan_.weather.cut_every.count() == 0 &&
               plan_.weather.queue_frames >= 1000;
    }

    Coverage coverage() const {
        Coverage all = counts_;
        all.plans = 1;
        all.finished = devices_[0]->end == ExchangeStatus::ok ? 1 : 0;
        for (const auto& device : devices_) {
            all.collectives += device->ended;
            if (device->end) ++all.ends[static_cast<std::size_t>(*device->end)];
        }
        all.stats = stats_;
        all.network = network_.counts();
        return all;
    }

    Random random_;
    const Scenario plan_;
    VirtualNetwork network_;
    DataPlaneStats stats_;  // of all
    std::vector<std::unique_ptr<Device>> devices_;
    std::optional<Time> plan_ends_;
    Coverage counts_;
};

}  // namespace

void Coverage::add(const Coverage& other) {
    const auto add_all = [](auto& to, const auto& from) {
        for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
    };
    plans += other.plans;
    finished += other.finished;
    collectives += other.collectives;
    add_all(kinds, other.kinds);
    add_all(waits, other.waits);
    add_all(ends, other.ends);
    left += other.left;
    crashed += other.crashed;
    stopped += other.stopped;
    stats.duplicates += other.stats.duplicates;
    stats.asked += other.stats.asked;
    stats.resent += other.stats.resent;
    stats.resubscribed += other.stats.resubscribed;
    network.sent += other.network.sent;
    network.lost += other.network.lost;
    network.repeated += other.network.repeated;
    network.reordered += other.network.reordered;
    network.queue_full += other.network.queue_full;
    network.cuts += other.network.cuts;
    network.lost_in_cuts += other.network.lost_in_cuts;
    network.healed += other.network.healed;
    network.certain_nacks += other.network.certain_nacks;
    add_all(network.kinds, other.network.kinds);
}

std::vector<std::pair<std::string, std::uint64_t>> Coverage::table() const {
    const auto waited = [&](Lockstep::Goal goal) { return waits[static_cast<std::size_t>(goal)]; };
    const auto sent = [&](FrameKind kind) { return network.kinds[static_cast<std::size_t>(kind)]; };
    const auto ended = [&](ExchangeStatus end) { return ends[static_cast<std::size_t>(end)]; };
    return {{"plans", plans},
            {"plans finished", finished},
            {"collectives", collectives},
            {"all-to-alls", kinds[static_cast<std::size_t>(Kind::all_to_all)]},
            {"devices that left", left},
            {"devices that crashed", crashed},
            {"plans that were stopped", stopped},
            {"ends: ok", ended(ExchangeStatus::ok)},
            {"ends: aborted", ended(ExchangeStatus::aborted)},
            {"ends: timed out", ended(ExchangeStatus::timed_out)},
            {"waits for connections", waited(Lockstep::Goal::connections)},
            {"waits for acknowledgements (ring full)", waited(Lockstep::Goal::room)},
            {"waits for the queue (queue full)", waited(Lockstep::Goal::queue)},
            {"waits for frames", waited(Lockstep::Goal::frames)},
            {"data", sent(FrameKind::data)},
            {"nacks", sent(FrameKind::nack)},
            {"nacks that are certain", network.certain_nacks},
            {"frames sent again", stats.resent},
            {"acks", sent(FrameKind::ack)},
            {"probes", sent(FrameKind::probe)},
            {"abandons", sent(FrameKind::abandon)},
            {"late or repeated data", stats.duplicates},
            {"connections seen to be made anew", stats.resubscribed},
            {"frames on the network", network.sent},
            {"frames lost", network.lost},
            {"frames repeated", network.repeated},
            {"frames reordered", network.reordered},
            {"sends refused", network.queue_full},
            {"connections cut", network.cuts},
            {"frames lost in cuts", network.lost_in_cuts},
            {"connections healed", network.healed}};
}

Coverage simulate(std::uint64_t seed) {
    try {
        return Simulation(seed).run();
    } catch (const std::runtime_error& error) {
        throw std::runtime_error("seed " + std::to_string(seed) + ": " + error.what());
    }
}

}  // namespace shoal::mesh::testing
