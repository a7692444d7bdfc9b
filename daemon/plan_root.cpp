#include "daemon/plan_root.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "daemon/plan_member.hpp"

namespace shoal {

using mesh::wire::ErrorCode;
using mesh::wire::Event;
using mesh::wire::Failed;
using mesh::wire::PlanDevice;
using mesh::wire::PlanEnd;
using mesh::wire::PlanLoaded;
using mesh::wire::PlanOffer;
using mesh::wire::PlanProgress;
using mesh::wire::PlanRef;
using mesh::wire::PlanStart;
using mesh::wire::Progress;

namespace {

// Plans that may fail in a row before the jobs that want them fail, and the pause between two.
constexpr std::uint32_t kMaxFailures = 4;
constexpr auto kRetryPause = std::chrono::milliseconds(300);

// How long a new root waits for all devices to acknowledge it, and how often it looks.
constexpr auto kSettlePatience = std::chrono::seconds(2);
constexpr auto kSettlePause = std::chrono::milliseconds(50);

// Jobs whose tokens one step may choose; the engine runs at most this many together.
constexpr std::uint32_t kMaxOutputs = 16;

// A context shorter than this is of no use: rather say that memory is short.
constexpr std::uint64_t kMinPositions = 256;

// A step's activations in one frame of the data plane, as f32; half of what it carries.
constexpr std::size_t kMaxPayloadBytes = std::size_t{32} << 20;

// A guess at the threads of a device, for its share of attention buffers.
constexpr std::uint32_t kBufferThreads = 16;

// The type of the KV cache that the settings mean for a model. Throws std::runtime_error when the
// model's heads do not fit it.
kernels::KvType kv_type(config::KvType setting, const model::GgufHeader& header,
                        const model::Hparams& hp) {
    switch (setting) {
        case config::KvType::f32:
            return kernels::KvType::f32;
        case config::KvType::f16:
            return kernels::KvType::f16;
        case config::KvType::q8_0:
            if (kernels::kv_head_dim_fits(kernels::KvType::q8_0, hp.head_dim)) {
                return kernels::KvType::q8_0;
            }
            throw std::runtime_error(
                "models.kv = q8_0 needs heads of a multiple of " +
                std::to_string(kernels::kKvScaleElements) + " elements, and this model's have " +
                std::to_string(hp.head_dim) + "; set models.kv to auto, f16 or f32");
        case config::KvType::automatic:
            break;
    }
    const auto& query = header.tensor(model::tensor_name::layer(0, "attn_q.weight"));
    return query.type == kernels::DType::f32 ? kernels::KvType::f32 : kernels::KvType::f16;
}

std::string short_id(const mesh::DeviceId& id) {
    return id.hex().substr(0, 8);
}

}  // namespace

PlanRoot::PlanRoot(ControlLoop& loop, ModelProvider& models, Engine& engine,
                   const config::ModelSettings& settings, Links links)
    : loop_(loop),
      models_(models),
      engine_(engine),
      settings_(settings),
      links_(std::move(links)) {}

void PlanRoot::become_root(mesh::Term term) {
    resign();
    term_ = term;
    elected_ = ControlLoop::Clock::now();
    next_plan_ = 1;
}

void PlanRoot::resign() {
    end_plan();
    jobs_.clear();
    term_.reset();
    failures_ = 0;
}

std::size_t PlanRoot::dispatched() const noexcept {
    return static_cast<std::size_t>(
        std::count_if(jobs_.begin(), jobs_.end(), [](const QueuedJob& j) { return j.dispatched; }));
}

std::uint32_t PlanRoot::queued() const noexcept {
    return static_cast<std::uint32_t>(jobs_.size() - dispatched());
}

bool PlanRoot::submit(Job job, const KnownModel& model, bool load_only) {
    if (!term_ || queued() >= settings_.queue) return false;
    jobs_.push_back({std::move(job), model, load_only, false, false});
    advance();
    return true;
}

void PlanRoot::cancel(JobId id) {
    const auto it = std::find_if(jobs_.begin(), jobs_.end(),
                                 [&](const QueuedJob& j) { return j.job.id == id; });
    if (it == jobs_.end()) return;
    it->cancelled = true;
    if (it->dispatched) return engine_.cancel(id);
    drop_cancelled();
    advance();
}

void PlanRoot::drop_cancelled() {
    std::vector<JobId> dropped;
    std::erase_if(jobs_, [&](const QueuedJob& queued) {
        if (!queued.cancelled || queued.dispatched) return false;
        dropped.push_back(queued.job.id);
        return true;
    });
    for (const JobId id : dropped) links_.emit(id, Failed{ErrorCode::cancelled, "cancelled"});
}

// The queue's first job decides which model is loaded.
void PlanRoot::advance() {
    if (!term_ || jobs_.empty()) return;
    const KnownModel wanted = jobs_.front().model;
    switch (state_) {
        case State::none:
            return wait_to_settle() ? void() : begin(wanted);
        case State::opening:
        case State::loading:
        case State::starting:
            if (model_.hash == wanted.hash) return;
            break;
        case State::running:
            if (model_.hash == wanted.hash && (same_devices() || dispatched() != 0)) {
                if (same_devices()) dispatch();
                return;
            }
            break;
    }
    if (dispatched() != 0) return;
    end_plan();
    begin(wanted);
}

// A new root's devices follow it one by one: a plan for the first of them would be made again at
// once. True while it is too early to plan.
bool PlanRoot::wait_to_settle() {
    if (ControlLoop::Clock::now() - elected_ >= kSettlePatience || links_.settled()) return false;
    if (!settling_) {
        settling_ = true;
        loop_.at(ControlLoop::Clock::now() + kSettlePause, [this] {
            settling_ = false;
            advance();
        });
    }
    return true;
}

bool PlanRoot::same_devices() const {
    const auto members = links_.members();
    return members.size() == offer_.devices.size() &&
           std::all_of(members.begin(), members.end(),
                       [&](const mesh::Member& m) { return devices_.contains(m.id); });
}

void PlanRoot::dispatch() {
    std::vector<JobId> ready;
    std::size_t in_flight = dispatched();
    for (QueuedJob& queued : jobs_) {
        if (queued.model.hash != model_.hash) break;
        if (queued.load_only) ready.push_back(queued.job.id);
        if (queued.dispatched || queued.load_only) continue;
        if (in_flight == engine_.parallel()) break;
        ++in_flight;
        queued.dispatched = true;
        engine_.submit(queued.job);
    }
    for (const JobId id : ready) {
        mesh::wire::Done done;
        done.model = model_.name;
        done.load_seconds = load_seconds_;
        done.devices = static_cast<std::uint32_t>(offer_.devices.size());
        on_job_event(id, done);
    }
}

void PlanRoot::begin(const KnownModel& model) {
    state_ = State::opening;
    model_ = model;
    begun_ = ControlLoop::Clock::now();
    ModelProvider::Want want;
    want.owner = this;
    want.hash = model.hash;
    want.name = model.name;
    want.file_bytes = model.file_bytes;
    want.tokenizer = false;  // The plan's own model brings it.
    want.pieces = [](const OpenModel&) { return std::vector<model::Piece>(); };
    want.progress = [](std::uint64_t, std::uint64_t) {};
    want.done = [this](const std::shared_ptr<const OpenModel>& opened, const std::string& error) {
        if (state_ != State::opening) return;
        if (!opened) {
            state_ = State::none;
            return fail_jobs(error, ErrorCode::not_found);
        }
        try {
            offer(*opened);
        } catch (const std::exception& e) {
            state_ = State::none;
            fail_jobs(e.what(), ErrorCode::too_large);
        }
    };
    models_.get(std::move(want));
}

// This device, which is rank 0, then the others by id.
std::vector<mesh::Member> PlanRoot::ranked_members() const {
    std::vector<mesh::Member> members = links_.members();
    std::sort(members.begin() + 1, members.end(),
              [](const mesh::Member& a, const mesh::Member& b) { return a.id < b.id; });
    return members;
}

void PlanRoot::offer(const OpenModel& model) {
    const model::Hparams& hp = model.hparams;
    const std::vector<mesh::Member> members = ranked_members();
    PlanOffer offer;
    offer.plan = PlanRef::of({*term_, next_plan_++});
    offer.model = model_.hash.bytes;
    offer.model_name = model_.name;
    offer.file_bytes = model_.file_bytes;
    const kernels::KvType kv = kv_type(settings_.kv, model.source->header(), hp);
    offer.kv_type = kernels::name(kv);
    offer.collectives = config::name(settings_.collectives);
    offer.max_rows = std::clamp<std::uint32_t>(
        static_cast<std::uint32_t>(kMaxPayloadBytes / (sizeof(float) * hp.dim)), 1,
        std::min(settings_.batch_tokens, exec::kMaxStepRows));
    offer.max_outputs = kMaxOutputs;

    std::vector<shard::Device> devices;
    for (const mesh::Member& m : members) {
        shard::Device& device = devices.emplace_back();
        device.speed = m.description.speed > 0 ? m.description.speed : 1;
        device.memory_bytes = m.description.memory_available;
        device.embedding = devices.size() == 1;
    }
    // As much context as memory allows, down to what is still of use.
    const std::uint32_t wished =
        settings_.context == 0 ? hp.n_context : std::min(settings_.context, hp.n_context);
    std::vector<shard::Slice> slices;
    for (std::uint64_t positions = wished;; positions /= 2) {
        exec::ExecutorOptions options;
        options.max_rows = offer.max_rows;
        options.max_outputs = offer.max_outputs;
        options.kv_positions = positions;
        const shard::Slice all{{0, hp.n_heads}, {0, hp.n_kv_heads}, {0, hp.n_ff}, {0, hp.n_vocab}};
        shard::Demand demand;
        demand.kv_positions = positions;
        demand.kv_head_bytes = kernels::kv_head_bytes(kv, hp.head_dim);
        demand.buffer_bytes =
            exec::Executor::buffer_bytes(hp, all, options, kBufferThreads) / members.size();
        offer.kv_positions = positions;
        try {
            slices = shard::make_plan(model.source->header(), hp, devices, demand);
            break;
        } catch (const shard::PlanError&) {
            if (positions / 2 < kMinPositions) throw;
        }
    }

    devices_.clear();
    for (std::size_t r = 0; r < members.size(); ++r) {
        PlanDevice& device = offer.devices.emplace_back();
        device.id = members[r].id.bytes;
        device.public_key = members[r].public_key;
        device.endpoint = members[r].description.data_endpoint;
        set_slice(device, slices[r]);
        devices_[members[r].id] = {};
    }
    offer_ = std::move(offer);
    state_ = State::loading;
    spdlog::info("plan {}: {} on {} devices, context {}", offer_.plan.number, model_.name,
                 members.size(), offer_.kv_positions);
    for (const mesh::Member& m : members) links_.send(m.id, offer_);
}

void PlanRoot::on_progress(const mesh::DeviceId& from, const PlanProgress& progress) {
    const auto it = devices_.find(from);
    if (state_ != State::loading || progress.plan != offer_.plan || it == devices_.end()) return;
    it->second.done = progress.done;
    it->second.total = progress.total;
    it->second.what = progress.what;
    Progress sum;
    sum.what = "loading";
    for (const auto& [id, device] : devices_) {
        if (device.what == "fetching" && !device.loaded) sum.what = "fetching pieces";
        sum.done += device.done;
        sum.total += device.total;
    }
    tell_waiting(sum);
}

void PlanRoot::tell_waiting(const Progress& progress) {
    for (const QueuedJob& queued : jobs_) {
        if (!queued.dispatched) links_.emit(queued.job.id, progress);
    }
}

void PlanRoot::on_loaded(const mesh::DeviceId& from, const PlanLoaded& loaded) {
    const auto it = devices_.find(from);
    if (state_ != State::loading || loaded.plan != offer_.plan || it == devices_.end()) return;
    it->second.loaded = true;
    it->second.done = it->second.total;
    it->second.held = {loaded.weight_bytes, loaded.planned_weight_bytes, loaded.kv_bytes,
                       loaded.buffer_bytes};
    const bool all = std::all_of(devices_.begin(), devices_.end(),
                                 [](const auto& entry) { return entry.second.loaded; });
    if (!all) return;
    state_ = State::starting;
    for (const auto& [id, device] : devices_) links_.send(id, PlanStart{offer_.plan});
}

void PlanRoot::on_started(mesh::PlanId plan) {
    if (state_ != State::starting || offer_.plan.id() != plan) return;
    state_ = State::running;
    load_seconds_ = std::chrono::duration<double>(ControlLoop::Clock::now() - begun_).count();
    spdlog::info("plan {} runs after {:.2f} s", offer_.plan.number, load_seconds_);
    advance();
}

void PlanRoot::on_job_event(JobId id, const Event& event) {
    const auto it = std::find_if(jobs_.begin(), jobs_.end(),
                                 [&](const QueuedJob& j) { return j.job.id == id; });
    if (it == jobs_.end()) return;
    failures_ = 0;  // The plan does what it is for.
    if (const auto* token = std::get_if<mesh::wire::Token>(&event)) {
        // The record: all that is needed to go on elsewhere.
        it->job.request.resume_ids.push_back(token->id);
        if (!it->job.first_token) it->job.first_token = Clock::now();
    }
    if (!mesh::wire::is_final(event)) return links_.emit(id, event);
    jobs_.erase(it);
    links_.emit(id, event);
    advance();
}

void PlanRoot::on_plan_end(const mesh::DeviceId& from, const PlanEnd& end) {
    if (state_ < State::loading || end.plan != offer_.plan || !devices_.contains(from)) return;
    plan_failed(short_id(from) + ": " + (end.error.empty() ? "left the plan" : end.error), false);
}

void PlanRoot::on_member_lost(const mesh::DeviceId& device) {
    if (state_ < State::loading || !devices_.contains(device)) return;
    plan_failed("device " + short_id(device) + " was lost", true);
}

void PlanRoot::plan_failed(const std::string& error, bool device_lost) {
    spdlog::warn("plan {} failed: {}", offer_.plan.number, error);
    const char* what = state_ < State::starting ? "load" : "run";
    end_plan();
    if (!device_lost && ++failures_ >= kMaxFailures) {
        failures_ = 0;
        return fail_jobs("the cluster cannot " + std::string(what) + " the model: " + error,
                         ErrorCode::unavailable);
    }
    tell_waiting({"planning again (" + error + ")", 0, 0});
    loop_.at(ControlLoop::Clock::now() + (device_lost ? std::chrono::milliseconds(0) : kRetryPause),
             [this] { advance(); });
}

void PlanRoot::end_plan() {
    models_.cancel(this);
    if (state_ >= State::loading) {
        for (const auto& [id, device] : devices_) links_.send(id, PlanEnd{offer_.plan, ""});
    }
    state_ = State::none;
    devices_.clear();
    offer_ = {};
    for (QueuedJob& queued : jobs_) queued.dispatched = false;
    drop_cancelled();
}

// The jobs that want the model that cannot be had.
void PlanRoot::fail_jobs(const std::string& error, ErrorCode code) {
    std::vector<JobId> failed;
    std::erase_if(jobs_, [&](const QueuedJob& queued) {
        if (queued.model.hash != model_.hash) return false;
        failed.push_back(queued.job.id);
        return true;
    });
    for (const JobId id : failed) links_.emit(id, Failed{code, error});
    loop_.post([this] { advance(); });
}

}  // namespace shoal
