#include "daemon/requests/desk.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>
#include <variant>

#include "daemon/requests/model_names.hpp"
#include "daemon/requests/text_answers.hpp"

namespace shoal {

using mesh::messages::CancelRequest;
using mesh::messages::DescribeRequest;
using mesh::messages::ErrorCode;
using mesh::messages::Event;
using mesh::messages::Failed;
using mesh::messages::Generate;
using mesh::messages::LoadRequest;
using mesh::messages::ModelInfo;
using mesh::messages::ModelsReply;
using mesh::messages::PlanRequest;
using mesh::messages::Progress;
using mesh::messages::Request;
using mesh::messages::StatusRequest;
using mesh::messages::UnloadRequest;

namespace {

// Models that were not known are looked for this often.
constexpr auto kLook = std::chrono::milliseconds(100);

// All clients of a device that does not tell them apart.
std::uint64_t client_of(const mesh::DeviceId& device) {
    std::uint64_t client = 0;
    std::memcpy(&client, device.bytes.data(), sizeof client);
    return client;
}

}  // namespace

Desk::Desk(Loop& loop, Background& texts, Background& plans, RequestPorts& ports,
           std::string default_model, const RequestPatience& patience,
           std::function<void(std::uint64_t id, const Event&)> own)
    : loop_(loop),
      ports_(ports),
      default_model_(std::move(default_model)),
      patience_(patience),
      replies_(
          loop, ports, patience.root,
          {std::move(own),
           [this](const Origin& lost) { stop_if([&](const Origin& o) { return o == lost; }); }}),
      texts_(loop, texts,
             [this](const Origin& origin, const Event& event) { replies_.send(origin, event); }),
      forecasts_(loop, plans, [this](const Origin& origin, const Event& event) {
          replies_.send(origin, event);
      }) {}

void Desk::on_request(const mesh::DeviceId& from, mesh::messages::RequestFrame frame) {
    const Origin origin{from, frame.id, frame.attempt};
    if (auto failed = mesh::messages::validate(frame.body, mesh::messages::Door::mesh)) {
        return replies_.send(origin, *failed);
    }
    if (const auto* cancelled = std::get_if<CancelRequest>(&frame.body)) {
        return cancel({from, cancelled->request, frame.attempt});
    }
    take(origin, std::move(frame.body));
}

void Desk::take(const Origin& origin, Request request) {
    // A device that sends a request again has lost the first one's events.
    const auto same = [&](const Origin& o) { return o == origin; };
    stop_if(same);
    replies_.forget_if(same);
    if (std::holds_alternative<StatusRequest>(request)) {
        return replies_.send(origin, ports_.status());
    }
    if (model_of(request) == nullptr) {
        return refuse(origin, ErrorCode::bad_request, "not for the root");
    }
    place({origin, std::move(request), loop_.now()}, ports_.models());
}

bool Desk::take_text(const Origin& origin, const Request& request) {
    if (!is_text(request)) return false;
    const auto model = find_model(ports_.models(), name_in(request)).model;
    if (!model || !ports_.holds(model->hash)) return false;
    answer_text(origin, request, *model);
    return true;
}

const std::string& Desk::name_in(const Request& request) const {
    const std::string& name = *model_of(request);
    return name.empty() ? default_model_ : name;
}

void Desk::place(Unplaced unplaced, const ModelsReply& known) {
    const bool root = root_ == ports_.self();
    const std::string& name = name_in(unplaced.request);
    const FoundModel found =
        root ? find_model(known, name)
             : FoundModel{std::nullopt, "this device is not the cluster's root", true};
    if (found.model) return run(unplaced.origin, std::move(unplaced.request), *found.model);

    const Loop::Time now = loop_.now();
    // A large file takes a while to be read for the first time.
    if (known.reading_models) unplaced.since = now;
    // A file that was named by its path is announced with the next heartbeat, and asked for by its
    // whole hash meanwhile. Names may come while folders are read, and while devices join, some for
    // the second time.
    const bool may_come =
        !root || (found.nobody_has_it && (mesh::ModelHash::from_hex(name) || known.reading_models ||
                                          now - changed_ < patience_.joining));
    if (!may_come || now - unplaced.since > patience_.model) {
        return refuse(unplaced.origin, root ? ErrorCode::not_found : ErrorCode::unavailable,
                      found.why);
    }
    if (unplaced_.size() >= kMaxUnplaced) {
        return refuse(unplaced.origin, ErrorCode::busy, found.why);
    }
    unplaced_.push_back(std::move(unplaced));
    if (looking_) return;
    looking_ = loop_.after(
        kLook, [this] { look_again(); }, "unknown models");
}

void Desk::look_again() {
    looking_.reset();
    if (unplaced_.empty()) return;
    const ModelsReply known = ports_.models();
    for (Unplaced& unplaced : std::exchange(unplaced_, {})) place(std::move(unplaced), known);
}

void Desk::run(const Origin& origin, Request request, const KnownModel& model) {
    if (is_text(request)) return answer_text(origin, std::move(request), model);
    if (const auto* plan = std::get_if<PlanRequest>(&request)) {
        return answer_plan(origin, *plan, model);
    }
    if (std::holds_alternative<UnloadRequest>(request)) {
        ports_.keep(model.hash, 0);
        mesh::messages::Done done;
        done.model = model.name;
        return replies_.send(origin, done);
    }
    Job job;
    job.id = next_job_++;
    job.queued_at = loop_.now();
    const auto* const load = std::get_if<LoadRequest>(&request);
    const std::int32_t keep =
        load != nullptr ? load->keep_alive : std::get<Generate>(request).keep_alive;
    if (load == nullptr) job.request = std::get<Generate>(std::move(request));
    if (job.request.client == 0) job.request.client = client_of(origin.device);
    const JobId id = job.id;
    jobs_[id] = origin;  // before its first event
    if (ports_.submit(std::move(job), model, load != nullptr)) return ports_.keep(model.hash, keep);
    jobs_.erase(id);
    Failed busy{ErrorCode::busy,
                "too many requests wait, of all clients or of this one; try again later"};
    if (const auto wait = ports_.expected_wait()) {
        const auto seconds = std::chrono::ceil<std::chrono::seconds>(*wait).count();
        busy.message += ", in about " + std::to_string(seconds) + " s";
        busy.retry_seconds = static_cast<std::uint32_t>(seconds);
    }
    replies_.send(origin, busy);
}

void Desk::answer_text(const Origin& origin, Request request, const KnownModel& model) {
    const auto open = [&](RequestPorts::Opened done) {
        if (vocabulary_ && vocabulary_->hash == model.hash) return done(vocabulary_, "");
        ports_.open(model, RequestPorts::Reading::vocabulary, std::move(done));
    };
    auto start = [this, request = std::move(request), hash = model.hash.hex()](
                     std::shared_ptr<const OpenModel> opened) -> Answers::Work {
        vocabulary_ = opened;
        ModelInfo info;
        if (std::holds_alternative<DescribeRequest>(request)) {
            for (ModelInfo& known : ports_.models().models) {
                if (known.hash == hash) info = std::move(known);
            }
        }
        return [request, opened, info](const std::stop_token& stop) {
            return shoal::answer_text(request, *opened, info, stop);
        };
    };
    texts_.begin(origin, open, std::move(start));
}

void Desk::answer_plan(const Origin& origin, const PlanRequest& request, const KnownModel& model) {
    const auto open = [&](RequestPorts::Opened done) {
        ports_.open(model, RequestPorts::Reading::description, std::move(done));
    };
    forecasts_.begin(origin, open, [this, origin, request](auto opened) -> Answers::Work {
        replies_.send(origin, Progress{"predicting plans", 0, 0});
        return [request, opened, forecast = ports_.forecast(opened->hash)](const std::stop_token&) {
            return forecast.of(*opened, request);
        };
    });
}

void Desk::refuse(const Origin& origin, ErrorCode code, std::string why) {
    replies_.send(origin, Failed{code, std::move(why)});
}

void Desk::cancel(const Origin& origin) {
    for (const auto& [job, from] : jobs_) {
        if (from == origin) return ports_.cancel(job);
    }
    const bool waited =
        std::erase_if(unplaced_, [&](const Unplaced& u) { return u.origin == origin; }) != 0;
    if (texts_.stop(origin) || forecasts_.stop(origin) || waited)
        refuse(origin, ErrorCode::cancelled, "cancelled");
}

void Desk::on_job_event(JobId job, const Event& event) {
    const auto it = jobs_.find(job);
    if (it == jobs_.end()) return;
    const Origin origin = it->second;
    if (mesh::messages::is_final(event)) jobs_.erase(it);
    replies_.send(origin, event);
}

// Ends what runs here, without a word.
template <typename Predicate>
void Desk::stop_if(const Predicate& of) {
    std::erase_if(unplaced_, [&](const Unplaced& u) { return of(u.origin); });
    texts_.stop_if(of);
    forecasts_.stop_if(of);
    std::vector<JobId> stopped;
    std::erase_if(jobs_, [&](const auto& entry) {
        if (of(entry.second)) stopped.push_back(entry.first);
        return of(entry.second);
    });
    for (const JobId job : stopped) ports_.cancel(job);
}

void Desk::on_root_changed(const std::optional<mesh::DeviceId>& root) {
    root_ = root;
    changed_ = loop_.now();
    // What ran here comes again from the devices it came from. Some may have heard of our election
    // before us: what they sent stays unplaced, and our own is sent again.
    jobs_.clear();
    forecasts_.stop_if([](const Origin&) { return true; });
    replies_.forget_if([](const Origin&) { return true; });
    const bool elsewhere = root_ && *root_ != ports_.self();
    std::erase_if(unplaced_,
                  [&](const Unplaced& u) { return elsewhere || u.origin.device == ports_.self(); });
}

void Desk::on_member_lost(const mesh::DeviceId& device) {
    changed_ = loop_.now();
    const auto its = [&](const Origin& origin) { return origin.device == device; };
    stop_if(its);
    replies_.forget_if(its);
}

}  // namespace shoal
