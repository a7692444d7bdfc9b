#include "daemon/engine/engine_thread.hpp"

#include <malloc.h>
#include <pthread.h>

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
struct EngineThread::Loaded {
    exec::SliceWeights weights;
    std::unique_ptr<exec::WholeWeights> whole;  // null where it has no share of rows
    std::unique_ptr<exec::Executor> executor;
};

EngineThread::EngineThread(const kernels::Table& kernels, const Options& options,
                           const MakeDataPlane& make_data_plane, EngineEvents events)
    : kernels_(kernels), options_(options), events_(std::move(events)) {
    // What the engine's thread owns is made there; what goes wrong with it is thrown here.
    std::promise<void> made;
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
        // A plan that waits must not begin: nobody would end it.
        const std::lock_guard lock(mutex_);
        next_.reset();
        ending_.request_stop();
    }
    thread_.request_stop();
}

void EngineThread::load(PlanSpec spec) {
    const std::lock_guard lock(mutex_);
    ending_.request_stop();
    next_ = std::move(spec);
    changed_.notify_all();
}

void EngineThread::start(mesh::PlanId plan) {
    const std::lock_guard lock(mutex_);
    start_ = plan;
    changed_.notify_all();
}

void EngineThread::end(mesh::PlanId plan) {
    const std::lock_guard lock(mutex_);
    if (next_ && next_->id == plan) next_.reset();
    if (current_ == plan) ending_.request_stop();
    changed_.notify_all();
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

Effort EngineThread::effort() const noexcept {
    return {effort_.steps,
            static_cast<double>(effort_.nanoseconds) * 1e-9,
            effort_.exchanges,
            effort_.in_step,
            effort_.all_steps,
            effort_.collectives,
            static_cast<double>(effort_.collective_nanoseconds) * 1e-9};
}

void EngineThread::main(const std::stop_token& stop) {
    for (;;) {
        PlanSpec spec;
        std::stop_token ending;
        {
            std::unique_lock lock(mutex_);
            if (!changed_.wait(lock, stop, [&] { return next_.has_value(); })) return;
            spec = std::move(*next_);
            next_.reset();
            current_ = spec.id;
            ending_ = std::stop_source();
            ending = ending_.get_token();
            if (stop.stop_requested()) return;
        }
        carry_out(spec, ending);
        const std::lock_guard lock(mutex_);
        current_.reset();
    }
}

void EngineThread::carry_out(const PlanSpec& spec, const std::stop_token& ending) {
    PlanOutcome outcome;
    try {
        const auto loaded = load_slice(spec, ending);
        if (wait_for_start(spec.id, ending)) outcome = serve(spec, *loaded, ending);
    } catch (const PlanEnded&) {
    } catch (const std::bad_alloc&) {
        outcome = {"there is not enough memory for this device's slice", Fault::own, {}};
    } catch (const std::exception& e) {
        outcome = {e.what(), Fault::own, {}};
    }
    running_ = 0;
    cache_use_ = 0;
#ifdef __GLIBC__
    malloc_trim(0);  // Buffers of the plan that malloc would keep are other programs' to use.
#endif
    {
        const std::lock_guard lock(mutex_);
        inbox_.clear();
        cancelled_.clear();
    }
    events_.ended(spec.id, std::move(outcome));
}

std::unique_ptr<EngineThread::Loaded> EngineThread::load_slice(const PlanSpec& spec,
                                                               const std::stop_token& ending) {
    const OpenModel& model = *spec.model;
    const shard::Slice& slice = spec.slices[spec.rank];
    const exec::RowShares& rows = spec.options.row_shares;
    const bool takes_rows = spec.options.sequence_rows != 0 && rows.shares[spec.rank] != 0;
    const auto progress = [&](std::uint64_t done, std::uint64_t total) {
        if (ending.stop_requested()) throw PlanEnded();
        events_.loading(spec.id, done, total);
    };
    auto loaded = std::make_unique<Loaded>();
    loaded->weights =
        exec::SliceWeights::load(*model.source, model.hparams, slice, kernels_, *pool_, progress);
    if (takes_rows) {
        loaded->whole = std::make_unique<exec::WholeWeights>(exec::WholeWeights::load(
            *model.source, model.hparams, kernels_, *pool_, spec.whole_bytes, progress));
    }
    loaded->executor =
        std::make_unique<exec::Executor>(model.hparams, slice, loaded->weights, kernels_, *pool_,
                                         spec.options, spec.rank, loaded->whole.get());
    HeldBytes held;
    held.weights = loaded->weights.bytes();
    held.planned_weights = shard::slice_weight_bytes(model.source->header(), model.hparams, slice);
    held.kv_cache = loaded->executor->cache().bytes();
    held.buffers = exec::Executor::buffer_bytes(model.hparams, slice, spec.options,
                                                pool_->threads(), spec.rank);
    events_.loaded(spec.id, held);
    return loaded;
}

bool EngineThread::wait_for_start(mesh::PlanId plan, const std::stop_token& ending) {
    std::unique_lock lock(mutex_);
    return changed_.wait(lock, ending, [&] { return start_ == plan; }) && !ending.stop_requested();
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

PlanOutcome EngineThread::serve(const PlanSpec& spec, Loaded& loaded,
                                const std::stop_token& ending) {
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
            data_plane_->join(spec.id, spec.rank, spec.peers, options, ending);
        if (ending.stop_requested()) return {};
        if (joined.status != mesh::ExchangeStatus::ok) return outcome_of(joined.why, "");
        exchange = std::move(joined.exchange);
        effort_.steps = 0;
        effort_.nanoseconds = 0;
        collective = std::make_unique<ExchangeCollective>(*exchange, effort_);
    }
    {
        // What came after the plan before had ended is submitted again by whoever plans.
        const std::lock_guard lock(mutex_);
        inbox_.clear();
        cancelled_.clear();
    }
    events_.started(spec.id);

    exec::Status status = exec::Status::ok;
    if (spec.rank != 0) {
        status = exec::follow(*loaded.executor, *collective);
    } else {
        const auto wake = [this] {
            const std::lock_guard lock(mutex_);
            changed_.notify_all();
        };
        Batch loop(spec, *loaded.executor, *collective,
                   {options_.parallel, options_.max_prompt_tokens}, prompts_, wake, events_.event);
        BatchCounts counted;
        for (;;) {
            std::set<JobId> cancelled;
            {
                std::unique_lock lock(mutex_);
                const bool go = changed_.wait(lock, ending, [&] {
                    return !loop.idle() || !inbox_.empty() || !cancelled_.empty();
                });
                if (!go || ending.stop_requested()) break;
                for (Job& job : inbox_) loop.add(std::move(job));
                inbox_.clear();
                cancelled.swap(cancelled_);
            }
            for (const JobId job : cancelled) loop.cancel(job);
            status = loop.step();
            if (status != exec::Status::ok) break;
            count(loop, counted);
        }
    }
    if (ending.stop_requested() || status == exec::Status::ok) return {};
    // Memory is this device's own; what others did, they say.
    if (status == exec::Status::no_memory) return {reason(status), Fault::own, {}};
    return outcome_of(exchange ? exchange->failure() : mesh::ExchangeFailure(), reason(status));
}

}  // namespace shoal
