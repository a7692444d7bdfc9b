#include "tests/daemon/simulation/stand_in_engine.hpp"

#include <algorithm>
#include <utility>

namespace shoal::tests::simulation {

using mesh::messages::Done;
using mesh::messages::ErrorCode;
using mesh::messages::Failed;
using mesh::messages::Fault;
using mesh::messages::StopReason;
using mesh::messages::Token;
using std::chrono::milliseconds;

namespace {

constexpr std::uint32_t kCollectives = 3;  // heads, FFN columns, vocabulary rows
constexpr std::uint32_t kLoadingChunks = 4;
constexpr auto kLoading = milliseconds(200);  // a chunk
constexpr auto kPartnerPatience = std::chrono::seconds(10);
constexpr auto kHello = milliseconds(200);
// A whole model's weights: a step of one device of speed 1e9 takes 60 ms.
constexpr std::uint64_t kWeightBytes = 60'000'000;
// The context of a prompt that no step survives.
constexpr std::uint64_t kPoisoned = 0;
// One token in so many ends a text.
constexpr std::uint64_t kEnds = 64;

std::uint64_t mix(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

std::uint64_t sum(std::uint64_t value, std::uint32_t collective, const shard::Range& range) {
    std::uint64_t out = 0;
    for (std::uint32_t i = range.begin; i < range.end; ++i) {
        out += mix(value ^ mix(std::uint64_t{collective} << 32 | i));
    }
    return out;
}

shard::Range range_of(const shard::Slice& slice, std::uint32_t collective) {
    return collective == 0 ? slice.q_heads : collective == 1 ? slice.ffn : slice.vocab;
}

std::uint64_t context_of(const OpenModel& model, const mesh::messages::Generate& request) {
    if (request.prompt == kPoison) return kPoisoned;
    std::uint64_t context = model.hash.bytes[0];
    for (const std::uint8_t byte : model.hash.bytes) context = mix(context ^ byte);
    for (const char c : request.prompt) context = mix(context ^ static_cast<unsigned char>(c));
    return mix(context ^ request.sampling.seed);
}

std::uint64_t extended(std::uint64_t context, std::int32_t id) {
    return mix(context ^ static_cast<std::uint64_t>(id) << 8);
}

std::int32_t id_of(std::uint64_t value, const model::Hparams& hp) {
    return static_cast<std::int32_t>(value % hp.n_vocab);
}

std::optional<StopReason> end_of(std::int32_t id, std::size_t ids,
                                 const mesh::messages::Generate& request) {
    if (!request.ignore_eos && mix(static_cast<std::uint64_t>(id)) % kEnds == 0) {
        return StopReason::end;
    }
    if (ids >= request.max_tokens) return StopReason::length;
    return std::nullopt;
}

}  // namespace

std::string text_of(std::int32_t id) {
    return std::to_string(id).append(" ");
}

Undisturbed undisturbed(const OpenModel& model, const mesh::messages::Generate& request) {
    const model::Hparams& hp = model.hparams;
    const shard::Slice all = shard::whole_slice(hp);
    Undisturbed out;
    std::uint64_t context = context_of(model, request);
    for (;;) {
        std::uint64_t value = context;
        for (std::uint32_t c = 0; c < kCollectives; ++c) value = sum(value, c, range_of(all, c));
        const std::int32_t id = id_of(value, hp);
        out.ids.push_back(id);
        context = extended(context, id);
        if (const auto reason = end_of(id, out.ids.size(), request)) {
            out.reason = *reason;
            return out;
        }
    }
}

StandInEngine::StandInEngine(Surroundings around, EngineEvents events)
    : around_(std::move(around)), events_(std::move(events)) {
    around_.plane.listen(around_.device, [this](const Packet& packet) { receive(packet); });
}

StandInEngine::~StandInEngine() {
    around_.plane.listen(around_.device, nullptr);
}

Loop::Clock::duration StandInEngine::up_to(milliseconds most) {
    return std::chrono::microseconds(
        std::uniform_int_distribution<std::int64_t>(0, most.count() * 1000)(around_.random));
}

void StandInEngine::wake(Loop::Clock::duration after) {
    const Loop::Time when = std::max(around_.time.now() + after, around_.faults.frozen_until);
    if (turning_ && due_ <= when) return;
    due_ = when;
    turning_ = around_.time.at(when, [this] {
        turning_.reset();
        turn();
    });
}

void StandInEngine::load(PlanSpec spec) {
    next_ = std::move(spec);
    wake(up_to(milliseconds(2)));
}

void StandInEngine::start(mesh::PlanId plan, std::uint32_t run, bool /*keeps_blocks*/) {
    start_ = {plan, run};
    wake(up_to(milliseconds(2)));
}

void StandInEngine::park(mesh::PlanId plan) {
    if (current_ && current_->spec.id == plan) current_->park = true;
    wake(up_to(milliseconds(2)));
}

void StandInEngine::end(mesh::PlanId plan) {
    if (start_ && start_->first == plan) start_.reset();
    if (next_ && next_->id == plan) {
        next_.reset();
    } else if (current_ && current_->spec.id == plan) {
        current_->ending = true;
    } else {
        const auto is_it = [&](const Carried& held) { return held.spec.id == plan; };
        if (std::erase_if(held_, is_it) != 0) events_.ended(plan, {});
    }
    wake(up_to(milliseconds(2)));
}

void StandInEngine::submit(Job job) {
    inbox_.push_back(std::move(job));
    wake(up_to(milliseconds(2)));
}

void StandInEngine::cancel(JobId job) {
    cancelled_.insert(job);
    wake(up_to(milliseconds(2)));
}

EngineSpeed StandInEngine::speed() const noexcept {
    return {0, 0, generated_, static_cast<std::uint32_t>(running_.size())};
}

// Everything that is due; what is not wakes the engine again.
void StandInEngine::turn() {
    if (around_.time.now() < around_.faults.frozen_until) return wake({});
    if (current_ && current_->ending) return leave({});
    if (!current_) {
        if (next_) {
            current_ = Carried{};
            current_->spec = *std::exchange(next_, {});
        } else if (start_) {
            const auto [plan, run] = *std::exchange(start_, {});
            const auto it = std::ranges::find_if(
                held_, [&, id = plan](const Carried& held) { return held.spec.id == id; });
            if (it == held_.end()) return;
            current_ = std::move(*it);
            held_.erase(it);
            begin_run(run);
        } else {
            return;
        }
    }
    switch (current_->stage) {
        case Stage::loading:
            return load_on();
        case Stage::loaded:
            return;
        case Stage::joining:
            return join();
        case Stage::serving:
            return serve();
        case Stage::stopping:
            return stand_still();
    }
}

void StandInEngine::load_on() {
    if (around_.time.now() < around_.faults.stuck_until) return wake(kLoading);
    if (around_.faults.loads_to_fail != 0 && current_->chunks == 2) {
        --around_.faults.loads_to_fail;
        return leave({"there is not enough memory for this device's slice", Fault::own, {}});
    }
    if (current_->chunks < kLoadingChunks) {
        ++current_->chunks;
        events_.loading(current_->spec.id, current_->chunks, kLoadingChunks);
        return wake(kLoading);
    }
    events_.loaded(current_->spec.id, {held_bytes(), held_bytes(), 1, 1});
    current_->stage = Stage::loaded;
    held_.push_back(*std::exchange(current_, {}));
    wake({});
}

void StandInEngine::begin_run(std::uint32_t run) {
    Carried& c = *current_;
    c.stage = Stage::joining;
    c.since = around_.time.now();
    c.run = run;
    c.park = false;
    c.met.clear();
    c.stopped.clear();
    c.steps = 0;
    c.parts.clear();
    c.orders.clear();
}

std::vector<mesh::DeviceId> StandInEngine::without(const std::set<std::size_t>& devices) const {
    std::vector<mesh::DeviceId> missing;
    for (const mesh::Peer& peer : current_->spec.peers) {
        const std::size_t index = around_.index_of(peer.id);
        if (index != around_.device && !devices.contains(index)) missing.push_back(peer.id);
    }
    return missing;
}

// Between two steps, until all do.
void StandInEngine::stand_still() {
    if (current_->stopped.size() + 1 < current_->spec.peers.size()) {
        if (around_.time.now() - current_->since < kPartnerPatience) {
            return wake(kPartnerPatience - (around_.time.now() - current_->since));
        }
        return leave({"a device stayed silent", Fault::peers, without(current_->stopped)});
    }
    const mesh::PlanId plan = current_->spec.id;
    running_.clear();
    inbox_.clear();
    cancelled_.clear();
    current_->stage = Stage::loaded;
    current_->effort = effort_;
    held_.push_back(*std::exchange(current_, {}));
    events_.parked(plan);
    wake(up_to(milliseconds(2)));
}

void StandInEngine::join() {
    const std::size_t others = current_->spec.peers.size() - 1;
    if (current_->met.size() < others) {
        if (around_.time.now() - current_->since > kPartnerPatience) {
            return leave({"some devices did not join", Fault::peers, without(current_->met)});
        }
        tell(Packet::Kind::hello);
        return wake(kHello);
    }
    current_->stage = Stage::serving;
    effort_ = current_->effort;
    effort_.plan = current_->spec.id;
    // What came after the plan before had ended is submitted again by whoever plans.
    inbox_.clear();
    cancelled_.clear();
    events_.started(current_->spec.id);
    serve();
}

std::uint64_t StandInEngine::part_of(std::uint64_t value) const {
    const std::uint32_t c = current_->step->collective;
    return sum(value, c, range_of(current_->spec.slices[current_->spec.rank], c));
}

std::uint64_t StandInEngine::held_bytes() const {
    const shard::Slice& slice = current_->spec.slices[current_->spec.rank];
    const model::Hparams& hp = current_->spec.model->hparams;
    return kWeightBytes *
           (slice.ffn.size() * 100 / hp.n_ff + slice.q_heads.size() * 100 / hp.n_heads) / 200;
}

// Of one collective's part.
double StandInEngine::compute_seconds() const {
    return static_cast<double>(held_bytes()) / around_.speed * around_.faults.slowness /
           kCollectives;
}

void StandInEngine::serve() {
    if (around_.faults.runs_to_fail != 0 && current_->steps >= around_.faults.good_steps) {
        --around_.faults.runs_to_fail;
        return leave({"a step threw", Fault::own, {}});
    }
    if (current_->park && !current_->step) {
        tell(current_->spec.rank == 0 ? Packet::Kind::stop : Packet::Kind::stopped);
        current_->stage = Stage::stopping;
        current_->since = around_.time.now();
        return stand_still();
    }
    if (current_->spec.rank == 0 && !current_->step) {
        take_jobs();
        if (!running_.empty()) begin_step();
    }
    if (current_->spec.rank != 0 && !current_->step) {
        const auto order = current_->orders.find(current_->steps + 1);
        if (order == current_->orders.end()) return;
        current_->step = Step{++current_->steps, 0, false, std::move(order->second)};
        current_->orders.erase(order);
        current_->since = around_.time.now();
        return wake(std::chrono::microseconds(static_cast<std::int64_t>(compute_seconds() * 1e6)));
    }
    while (current_ && current_->step) {
        if (!gather()) return;
    }
}

void StandInEngine::take_jobs() {
    for (const JobId id : std::exchange(cancelled_, {})) {
        const auto waiting = std::find_if(inbox_.begin(), inbox_.end(),
                                          [&](const Job& job) { return job.id == id; });
        if (waiting != inbox_.end()) {
            inbox_.erase(waiting);
            events_.event(id, Failed{ErrorCode::cancelled, "cancelled while waiting"});
        }
        for (std::size_t i = 0; i < running_.size(); ++i) {
            if (running_[i].job.id != id) continue;
            finish_job(i, StopReason::cancelled);
            break;
        }
    }
    while (!inbox_.empty() && running_.size() < parallel()) {
        Running& job = running_.emplace_back();
        job.job = std::move(inbox_.front());
        inbox_.pop_front();
        const mesh::messages::Generate& request = job.job.request;
        job.context = context_of(*current_->spec.model, request);
        for (const std::int32_t id : request.resume_ids) job.context = extended(job.context, id);
        job.resumed = static_cast<std::uint32_t>(request.resume_ids.size());
        if (request.resume_ids.empty()) continue;
        const auto reason = end_of(request.resume_ids.back(), job.resumed, request);
        if (reason) finish_job(running_.size() - 1, *reason);
    }
}

void StandInEngine::begin_step() {
    std::vector<std::uint64_t> contexts;
    for (const Running& job : running_) contexts.push_back(job.context);
    current_->step = Step{++current_->steps, 0, false, contexts};
    current_->since = around_.time.now();
    tell(Packet::Kind::order, std::move(contexts));
    wake(std::chrono::microseconds(static_cast<std::int64_t>(compute_seconds() * 1e6)));
}

// One collective: our part, once it is computed, then the others'. False when something is missing.
bool StandInEngine::gather() {
    Step& step = *current_->step;
    const std::size_t size = current_->spec.peers.size();
    auto& parts = current_->parts[{step.number, step.collective}];
    if (!step.computed) {
        const bool poisoned = step.collective == 0 &&
                              std::count(step.values.begin(), step.values.end(), kPoisoned) != 0;
        if (poisoned && current_->spec.rank + 1 == size) {
            leave({"a step threw", Fault::own, {}});
            return false;
        }
        const auto took =
            std::chrono::microseconds(static_cast<std::int64_t>(compute_seconds() * 1e6));
        if (around_.time.now() < current_->since + took) {
            wake(current_->since + took - around_.time.now());
            return false;
        }
        effort_.seconds += compute_seconds();
        step.computed = true;
        current_->since = around_.time.now();
        std::vector<std::uint64_t> mine;
        for (const std::uint64_t value : step.values) mine.push_back(part_of(value));
        parts[around_.device] = mine;
        tell(Packet::Kind::partial, std::move(mine));
    }
    if (parts.size() < size) {
        if (around_.time.now() - current_->since < kPartnerPatience) {
            wake(kPartnerPatience - (around_.time.now() - current_->since));
            return false;
        }
        PlanOutcome outcome{"a device stayed silent", Fault::peers, {}};
        for (const mesh::Peer& peer : current_->spec.peers) {
            if (!parts.contains(around_.index_of(peer.id))) outcome.missing.push_back(peer.id);
        }
        leave(std::move(outcome));
        return false;
    }
    std::vector<std::uint64_t> sums(step.values.size());
    for (const auto& [device, values] : parts) {
        if (values.size() != sums.size()) {
            leave({"a device sent a message that makes no sense", Fault::none, {}});
            return false;
        }
        for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += values[i];
    }
    current_->parts.erase({step.number, step.collective});
    step.values = std::move(sums);
    step.computed = false;
    current_->since = around_.time.now();
    if (++step.collective < kCollectives) return true;
    ++effort_.steps;
    if (current_->spec.rank == 0) choose();
    current_->step.reset();
    wake({});
    return false;
}

void StandInEngine::choose() {
    std::vector<std::pair<std::size_t, StopReason>> finished;
    for (std::size_t i = 0; i < running_.size(); ++i) {
        Running& running = running_[i];
        std::vector<std::int32_t>& ids = running.job.request.resume_ids;
        const std::int32_t id = id_of(current_->step->values[i], current_->spec.model->hparams);
        Token token{static_cast<std::uint32_t>(ids.size()), id, text_of(id), ""};
        if (token.index == running.resumed) token.model = current_->spec.model->name;
        ids.push_back(id);
        running.context = extended(running.context, id);
        ++generated_;
        events_.event(running.job.id, token);
        if (const auto reason = end_of(id, ids.size(), running.job.request)) {
            finished.emplace_back(i, *reason);
        }
    }
    for (auto it = finished.rbegin(); it != finished.rend(); ++it) {
        finish_job(it->first, it->second);
    }
}

void StandInEngine::finish_job(std::size_t index, StopReason reason) {
    const Job& job = running_[index].job;
    Done done;
    done.reason = reason;
    done.generated_tokens = static_cast<std::uint32_t>(job.request.resume_ids.size());
    done.model = current_->spec.model->name;
    done.devices = static_cast<std::uint32_t>(current_->spec.peers.size());
    events_.event(job.id, done);
    running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(index));
}

void StandInEngine::leave(PlanOutcome outcome) {
    if (current_->stage >= Stage::joining) tell(Packet::Kind::abandon);
    const mesh::PlanId plan = current_->spec.id;
    current_.reset();
    running_.clear();
    inbox_.clear();
    cancelled_.clear();
    events_.ended(plan, std::move(outcome));
    wake(up_to(milliseconds(2)));
}

void StandInEngine::tell(Packet::Kind kind, std::vector<std::uint64_t> payload) {
    const mesh::PlanId run{current_->spec.id.term, current_->run};
    Packet packet{run, around_.device, kind, current_->steps, 0, std::move(payload)};
    if (current_->step) packet.collective = current_->step->collective;
    for (const mesh::Peer& peer : current_->spec.peers) {
        const std::size_t to = around_.index_of(peer.id);
        if (to != around_.device) around_.plane.send(to, packet);
    }
}

// Comes in while the engine is frozen as well, and is looked at when it goes on.
void StandInEngine::receive(const Packet& packet) {
    if (!current_ || current_->stage < Stage::joining) return;
    if (packet.plan != mesh::PlanId{current_->spec.id.term, current_->run}) return;
    switch (packet.kind) {
        case Packet::Kind::hello: {
            Packet answer{packet.plan, around_.device, Packet::Kind::answer, 0, 0, {}};
            around_.plane.send(packet.from, std::move(answer));
            current_->met.insert(packet.from);
            break;
        }
        case Packet::Kind::answer:
            current_->met.insert(packet.from);
            break;
        case Packet::Kind::order:
            current_->orders[packet.step] = packet.payload;
            break;
        case Packet::Kind::partial:
            current_->parts[{packet.step, packet.collective}][packet.from] = packet.payload;
            break;
        case Packet::Kind::stop:
            current_->park = true;
            current_->stopped.insert(packet.from);
            break;
        case Packet::Kind::stopped:
            current_->stopped.insert(packet.from);
            break;
        case Packet::Kind::abandon:
            if (around_.time.now() < around_.faults.frozen_until) {
                current_->ending = true;
                break;
            }
            return leave({"a device left the plan", Fault::none, {}});
    }
    wake({});
}

}  // namespace shoal::tests::simulation
