#include "daemon/engine/engine_thread.hpp"

#include <malloc.h>
#include <pthread.h>

#include <algorithm>
#include <future>
#include <stdexcept>
#include <utility>

#include "daemon/engine/batch.hpp"
#include "daemon/engine/exchange_collective.hpp"
#include "daemon/exec/cpu_topology.hpp"
#include "mesh/exchange/data_plane.hpp"

namespace shoal {
namespace {

using mesh::messages::Fault;

// Thrown out of loading when the plan ends meanwhile.
struct PlanEnded {};

std::string reason(exec::Status status) {
    switch (status) {
        case exec::Status::ok:
            return "";
        case exec::Status::aborted:
            return "a device left the plan";
        case exec::Status::timed_out:
            return "a device stayed silent";
        case exec::Status::no_memory:
            return "its KV cache is full";
        case exec::Status::malformed:
            return "a device sent a message that makes no sense; "
                   "do all devices run the same version?";
    }
    return "unknown";
}

PlanOutcome outcome_of(mesh::ExchangeFailure failure, std::string why) {
    if (!failure.what.empty()) why += (why.empty() ? "" : ": ") + failure.what;
    const Fault fault = failure.missing.empty() ? Fault::none : Fault::peers;
    return {std::move(why), fault, std::move(failure.missing)};
}

}  // namespace

// A slice in memory, ready to run.
struct EngineThread::Held {
    PlanSpec spec;
    exec::SliceWeights weights;
    std::unique_ptr<exec::WholeWeights> whole;  // null where it has no share of rows
    std::unique_ptr<exec::Executor> executor;
    std::optional<SliceFiles> files;
    std::unique_ptr<Batch> batch;              // on the root, from the first start on
    std::uint64_t steps = 0, nanoseconds = 0;  // as in EffortCounter, before this start
};

EngineThread::EngineThread(const kernels::Table& kernels, const Options& options,
                           const MakeDataPlane& make_data_plane, EngineEvents events)
    : kernels_(kernels), options_(options), events_(std::move(events)) {
    // What the engine's thread owns is made there; what goes wrong with it is thrown here.
    std::promise<void> made;
    if (!options_.files.folder.empty()) files_.emplace(options_.files);
    thread_ = std::jthread([&, this](const std::stop_token& stop) {
        pthread_setname_np(pthread_self(), "engine");
        try {
            // The pool's threads take this over.
            exec::run_on(options_.cpus);
            pool_ = std::make_unique<exec::ThreadPool>(options_.threads);
            if (make_data_plane) data_plane_ = make_data_plane();
            if (data_plane_) data_port_ = data_plane_->port();
            made.set_value();
        } catch (...) {
            made.set_exception(std::current_exception());
            return;
        }
        main(stop);
        data_plane_.reset();
        pool_.reset();
    });
    made.get_future().get();
}

EngineThread::~EngineThread() {
    {
        // What waits must not begin: nobody would end it.
        const std::lock_guard lock(mutex_);
        next_.reset();
        start_.reset();
        ending_.request_stop();
    }
    thread_.request_stop();
}

void EngineThread::load(PlanSpec spec) {
    const std::lock_guard lock(mutex_);
    next_ = std::move(spec);
    changed_.notify_all();
}

void EngineThread::start(mesh::PlanId plan, std::uint32_t run, bool keeps_blocks) {
    const std::lock_guard lock(mutex_);
    start_ = {plan, run, keeps_blocks};
    changed_.notify_all();
}

void EngineThread::park(mesh::PlanId plan) {
    const std::lock_guard lock(mutex_);
    if (current_ == plan) park_ = true;
    changed_.notify_all();
}

// One that is parked goes at once, whatever the engine is at.
void EngineThread::end(mesh::PlanId plan) {
    {
        const std::lock_guard lock(mutex_);
        if (start_ && start_->plan == plan) start_.reset();
        if (next_ && next_->id == plan) next_.reset();
        if (current_ == plan) return ending_.request_stop(), changed_.notify_all();
    }
    let_go(plan, {});
}

void EngineThread::submit(Job job) {
    const std::lock_guard lock(mutex_);
    inbox_.push_back(std::move(job));
    changed_.notify_all();
}

void EngineThread::cancel(JobId job) {
    const std::lock_guard lock(mutex_);
    cancelled_.insert(job);
    changed_.notify_all();
}

EngineSpeed EngineThread::speed() const noexcept {
    return {prefill_speed_, decode_speed_,  generated_,     running_,
            preemptions_,   prompt_tokens_, cached_tokens_, cache_use_};
}

std::vector<mesh::LinkReport> EngineThread::links() const {
    return data_plane_ ? data_plane_->links() : std::vector<mesh::LinkReport>();
}

mesh::DataPlaneStats EngineThread::data_stats() const {
    return data_plane_ ? data_plane_->stats() : mesh::DataPlaneStats();
}

Effort EngineThread::effort() const noexcept {
    const std::lock_guard lock(mutex_);
    return {effort_.steps,
            static_cast<double>(effort_.nanoseconds) * 1e-9,
            effort_.exchanges,
            effort_.in_step,
            effort_.all_steps,
            effort_.collectives,
            static_cast<double>(effort_.collective_nanoseconds) * 1e-9,
            effort_plan_};
}

// A plan that is to start is loaded by then.
void EngineThread::main(const std::stop_token& stop) {
    std::optional<PlanSpec> load;
    std::optional<Start> start;
    std::stop_token ending;
    while (!stop.stop_requested()) {
        {
            std::unique_lock lock(mutex_);
            changed_.wait(lock, stop, [&] { return next_ || start_; });
            load = std::exchange(next_, {});
            start = load ? std::nullopt : std::exchange(start_, {});
            if (load) current_ = load->id;
            if (start) current_ = start->plan;
            park_ = false;
            ending_ = std::stop_source();
            ending = ending_.get_token();
        }
        if (load) load_slice(*std::move(load), ending);
        if (start) carry_out(*start, ending);
        std::optional<mesh::PlanId> done;
        {
            const std::lock_guard lock(mutex_);
            done = std::exchange(current_, {});
        }
        // It was ended as it came to an end of this.
        if (done && ending.stop_requested()) let_go(*done, {});
    }
    held_.clear();
}

std::vector<std::unique_ptr<EngineThread::Held>>::iterator EngineThread::find(mesh::PlanId plan) {
    return std::ranges::find_if(held_, [&](const auto& held) { return held->spec.id == plan; });
}

void EngineThread::load_slice(PlanSpec spec, const std::stop_token& ending) {
    const mesh::PlanId plan = spec.id;
    PlanOutcome outcome;
    try {
        auto made = make_held(std::move(spec), ending);
        const Held& held = *made;
        const OpenModel& model = *held.spec.model;
        const shard::Slice& slice = held.spec.slices[held.spec.rank];
        HeldBytes bytes;
        bytes.weights = held.weights.bytes();
        bytes.planned_weights =
            shard::slice_weight_bytes(model.source->header(), model.hparams, slice);
        bytes.kv_cache = held.executor->cache().bytes();
        bytes.buffers = exec::Executor::buffer_bytes(model.hparams, slice, held.spec.options,
                                                     pool_->threads(), held.spec.rank);
        bytes.keeps_blocks = held.files && files_->usable();
        {
            const std::lock_guard lock(mutex_);
            held_.push_back(std::move(made));
        }
        return events_.loaded(plan, bytes);
    } catch (const PlanEnded&) {
    } catch (const std::bad_alloc&) {
        outcome = {"there is not enough memory for this device's slice", Fault::own, {}};
    } catch (const std::exception& e) {
        outcome = {e.what(), Fault::own, {}};
    }
    tell_end(plan, std::move(outcome));
}

void EngineThread::let_go(mesh::PlanId plan, PlanOutcome outcome) {
    std::unique_ptr<Held> gone;
    {
        const std::lock_guard lock(mutex_);
        const auto it = find(plan);
        if (it == held_.end()) return;
        gone = std::move(*it);
        held_.erase(it);
    }
    gone.reset();
    tell_end(plan, std::move(outcome));
}

void EngineThread::tell_end(mesh::PlanId plan, PlanOutcome outcome) {
#ifdef __GLIBC__
    malloc_trim(0);  // Buffers of the plan that malloc would keep are other programs' to use.
#endif
    events_.ended(plan, std::move(outcome));
}

void EngineThread::carry_out(const Start& start, const std::stop_token& ending) {
    Held* held = nullptr;
    {
        const std::lock_guard lock(mutex_);
        const auto it = find(start.plan);
        if (it == held_.end()) return;
        held = it->get();  // nobody else lets the current one go
    }
    PlanOutcome outcome;
    bool parked = false;
    try {
        outcome = serve(*held, start, ending, parked);
    } catch (const std::bad_alloc&) {
        outcome = {"there is not enough memory for a step", Fault::own, {}};
    } catch (const std::exception& e) {
        outcome = {e.what(), Fault::own, {}};
    }
    running_ = 0;
    cache_use_ = 0;
    forget_jobs();
    parked ? events_.parked(start.plan) : let_go(start.plan, std::move(outcome));
}

// What came after a plan had stopped is submitted again by whoever plans.
void EngineThread::forget_jobs() {
    const std::lock_guard lock(mutex_);
    inbox_.clear();
    cancelled_.clear();
}

std::unique_ptr<EngineThread::Held> EngineThread::make_held(PlanSpec given,
                                                            const std::stop_token& ending) {
    auto held = std::make_unique<Held>();
    held->spec = std::move(given);
    const PlanSpec& spec = held->spec;
    const OpenModel& model = *spec.model;
    const shard::Slice& slice = spec.slices[spec.rank];
    const exec::RowShares& rows = spec.options.row_shares;
    const bool takes_rows = spec.options.sequence_rows != 0 && rows.shares[spec.rank] != 0;
    const auto progress = [&](std::uint64_t done, std::uint64_t total) {
        if (ending.stop_requested()) throw PlanEnded();
        events_.loading(spec.id, done, total);
    };
    held->weights =
        exec::SliceWeights::load(*model.source, model.hparams, slice, kernels_, *pool_, progress);
    if (takes_rows) {
        held->whole = std::make_unique<exec::WholeWeights>(exec::WholeWeights::load(
            *model.source, model.hparams, kernels_, *pool_, spec.whole_bytes, progress));
    }
    held->executor =
        std::make_unique<exec::Executor>(model.hparams, slice, held->weights, kernels_, *pool_,
                                         spec.options, spec.rank, held->whole.get());
    if (files_) held->files.emplace(*files_, slice_name(spec, kernels_.name, options_.version));
    return held;
}

void EngineThread::count(const Batch& batch, BatchCounts& counted) {
    const BatchCounts& now = batch.counts();
    prefill_speed_ = batch.prefill_speed();
    decode_speed_ = batch.decode_speed();
    running_ = static_cast<std::uint32_t>(batch.running());
    cache_use_ = batch.cache_use();
    generated_ += now.generated_tokens - counted.generated_tokens;
    preemptions_ += now.preemptions - counted.preemptions;
    prompt_tokens_ += now.prompt_tokens - counted.prompt_tokens;
    cached_tokens_ += now.cached_tokens - counted.cached_tokens;
    counted = now;
}

PlanOutcome EngineThread::serve(Held& held, const Start& start, const std::stop_token& ending,
                                bool& parked) {
    const PlanSpec& spec = held.spec;
    mesh::JoinOptions options;
    options.timeout = options_.join_timeout;
    options.silence_limit = options_.silence_limit;
    std::unique_ptr<mesh::Exchange> exchange;
    std::unique_ptr<exec::Collective> collective;
    if (spec.peers.size() == 1) {
        collective = std::make_unique<exec::SoloCollective>();
    } else {
        if (!data_plane_) throw std::logic_error("a plan of several devices without a data plane");
        mesh::JoinResult joined =
            data_plane_->join({spec.id.term, start.run}, spec.rank, spec.peers, options, ending);
        if (ending.stop_requested()) return {};
        if (joined.status != mesh::ExchangeStatus::ok) return outcome_of(joined.why, "");
        exchange = std::move(joined.exchange);
        {
            const std::lock_guard lock(mutex_);
            effort_plan_ = spec.id;
            effort_.steps = held.steps;
            effort_.nanoseconds = held.nanoseconds;
        }
        collective = std::make_unique<ExchangeCollective>(*exchange, effort_);
    }
    forget_jobs();
    events_.started(spec.id);

    SliceFiles* const files = start.keeps_blocks && held.files ? &*held.files : nullptr;
    const exec::Status status = spec.rank == 0 ? lead(held, files, *collective, ending)
                                               : exec::follow(*held.executor, *collective, files);
    if (ending.stop_requested()) return {};
    if (exchange) {
        held.steps = effort_.steps;
        held.nanoseconds = effort_.nanoseconds;
    }
    parked = status == exec::Status::ok;
    if (parked) return {};
    // Memory is this device's own; what others did, they say.
    if (status == exec::Status::no_memory) return {reason(status), Fault::own, {}};
    return outcome_of(exchange ? exchange->failure() : mesh::ExchangeFailure(), reason(status));
}

// Until the plan is to be parked (ok), ends or fails.
exec::Status EngineThread::lead(Held& held, SliceFiles* files, exec::Collective& collective,
                                const std::stop_token& ending) {
    if (held.batch) {
        held.batch->use(collective);
    } else {
        const auto wake = [this] {
            const std::lock_guard lock(mutex_);
            changed_.notify_all();
        };
        const Batch::Limits limits{options_.parallel, options_.max_prompt_tokens};
        held.batch = std::make_unique<Batch>(held.spec, *held.executor, collective, limits,
                                             prompts_, wake, events_.event);
    }
    Batch& batch = *held.batch;
    batch.use(files);
    bool keeping = false;  // what was begun goes on while nothing comes
    BatchCounts counted = batch.counts();
    for (;;) {
        std::set<JobId> cancelled;
        bool park = false;
        {
            std::unique_lock lock(mutex_);
            const auto go = [&] {
                return !batch.idle() || !inbox_.empty() || !cancelled_.empty() || park_;
            };
            if (batch.may_keep()) {
                const auto wait = keeping ? std::chrono::milliseconds(0) : options_.keep_after;
                keeping = !changed_.wait_for(lock, ending, wait, go);
            } else {
                keeping = false;
                changed_.wait(lock, ending, go);
            }
            if (ending.stop_requested()) return exec::Status::ok;
            park = park_;
            for (Job& job : inbox_) batch.add(std::move(job));
            inbox_.clear();
            cancelled.swap(cancelled_);
        }
        if (keeping) {
            if (const auto status = batch.keep(); status != exec::Status::ok) return status;
            continue;
        }
        for (const JobId job : cancelled) batch.cancel(job);
        if (park) return batch.park();
        if (const auto status = batch.step(); status != exec::Status::ok) return status;
        count(batch, counted);
    }
}

}  // namespace shoal
