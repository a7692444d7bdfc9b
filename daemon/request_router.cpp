#include "daemon/request_router.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace shoal {

using mesh::wire::CancelRequest;
using mesh::wire::DetokenizeReply;
using mesh::wire::DetokenizeRequest;
using mesh::wire::Door;
using mesh::wire::ErrorCode;
using mesh::wire::Event;
using mesh::wire::Failed;
using mesh::wire::Generate;
using mesh::wire::LoadRequest;
using mesh::wire::ModelsRequest;
using mesh::wire::Progress;
using mesh::wire::Request;
using mesh::wire::StatusRequest;
using mesh::wire::Token;
using mesh::wire::TokenizeReply;
using mesh::wire::TokenizeRequest;

namespace {

// The model that a request names, or null for a request that names none.
std::string* model_of(Request& request) {
    return std::visit(
        [](auto& body) -> std::string* {
            if constexpr (requires { body.model; }) return &body.model;
            return nullptr;
        },
        request);
}

bool is_path(const std::string& model) {
    return model.find('/') != std::string::npos || model.starts_with('.');
}

Event tokenize(const model::Tokenizer& tokenizer, const Request& request) {
    if (const auto* r = std::get_if<TokenizeRequest>(&request)) {
        TokenizeReply reply;
        reply.ids = tokenizer.encode(r->text, {r->add_special, r->parse_special});
        for (const std::int32_t id : reply.ids) reply.pieces.emplace_back(tokenizer.text(id));
        return reply;
    }
    const auto& ids = std::get<DetokenizeRequest>(request).ids;
    model::Detokenizer detokenizer(tokenizer, true);
    DetokenizeReply reply;
    for (const std::int32_t id : ids) {
        if (id < 0 || static_cast<std::size_t>(id) >= tokenizer.size()) {
            return Failed{ErrorCode::bad_request, "token id " + std::to_string(id) +
                                                      " is not in 0.." +
                                                      std::to_string(tokenizer.size() - 1)};
        }
        reply.text += detokenizer.push(id);
    }
    reply.text += detokenizer.flush();
    return reply;
}

}  // namespace

RequestRouter::RequestRouter(ControlLoop& loop, Worker& worker, Catalogue& catalogue,
                             PlanRoot& root, std::string default_model, Links links,
                             Patience patience)
    : loop_(loop),
      worker_(worker),
      catalogue_(catalogue),
      plan_root_(root),
      default_model_(std::move(default_model)),
      links_(std::move(links)),
      patience_(patience) {}

RequestRouter::Ticket RequestRouter::start(Request request, Door door, Sink sink) {
    const Ticket ticket = next_ticket_++;
    loop_.post(
        [this, ticket, request = std::move(request), door, sink = std::move(sink)]() mutable {
            begin(ticket, std::move(request), door, std::move(sink));
        });
    return ticket;
}

void RequestRouter::cancel(Ticket ticket) noexcept {
    loop_.post([this, ticket] {
        const auto it = attached_.find(ticket);
        if (it == attached_.end() || it->second.cancelled) return;
        it->second.cancelled = true;
        if (!it->second.at) return give_up(ticket, ErrorCode::cancelled, "cancelled");
        const Origin origin{links_.self, ticket};
        if (*it->second.at == links_.self) return cancel_here(origin);
        // If it cannot be sent, the root is as good as gone: on_root_changed ends the request.
        static_cast<void>(links_.send_request(*it->second.at, {ticket, CancelRequest{ticket}}));
    });
}

void RequestRouter::begin(Ticket ticket, Request request, Door door, Sink sink) {
    if (auto failed = mesh::wire::validate(request, door)) return sink(*failed);
    if (std::holds_alternative<CancelRequest>(request)) {
        return sink(Failed{ErrorCode::bad_request, "nothing to cancel here"});
    }
    if (std::holds_alternative<ModelsRequest>(request)) return sink(links_.models());
    if (std::holds_alternative<StatusRequest>(request) && (!root_ || *root_ == links_.self)) {
        return sink(links_.status());
    }
    // Any device that holds the file can do this; the root needs no part in it.
    if (std::holds_alternative<TokenizeRequest>(request) ||
        std::holds_alternative<DetokenizeRequest>(request)) {
        std::string why;
        const auto known = resolve(*model_of(request), why);
        if (known && catalogue_.find(known->hash)) {
            attached_[ticket] = {request, std::move(sink), links_.self, {}};
            return run_tokenizer({links_.self, ticket}, std::move(request), *known);
        }
    }
    const std::string* model = model_of(request);
    const bool path = model != nullptr && is_path(*model);
    attached_[ticket] = {std::move(request), std::move(sink), std::nullopt,
                         ControlLoop::Clock::now(), path};
    if (path) {
        take_path(ticket);
    } else {
        route(ticket);
    }
}

// A file of this device, wherever it lies: into the catalogue, and from here on by its hash.
void RequestRouter::take_path(Ticket ticket) {
    Attached& attached = attached_.at(ticket);
    attached.sink(Progress{"reading the model file", 0, 0});
    worker_.post([this, ticket, path = *model_of(attached.request)] {
        std::string hash;
        std::string error;
        try {
            hash = catalogue_.add(path).hash.hex();
        } catch (const std::exception& e) {
            error = e.what();
        }
        loop_.post([this, ticket, hash, error] {
            const auto it = attached_.find(ticket);
            if (it == attached_.end()) return;
            if (!error.empty()) return give_up(ticket, ErrorCode::not_found, error);
            links_.catalogue_changed();
            *model_of(it->second.request) = hash;
            it->second.reading = false;
            it->second.waiting_since = ControlLoop::Clock::now();
            route(ticket);
        });
    });
}

void RequestRouter::route(Ticket ticket) {
    Attached& attached = attached_.at(ticket);
    if (attached.cancelled) return give_up(ticket, ErrorCode::cancelled, "cancelled");
    attached.at.reset();
    if (!root_) return;
    if (*root_ == links_.self) {
        attached.at = root_;
        run_here({links_.self, ticket}, attached.request);
        return;
    }
    try {
        if (links_.send_request(*root_, {ticket, attached.request})) attached.at = root_;
    } catch (const std::length_error& e) {
        // What was generated so far counts as well.
        give_up(ticket, ErrorCode::too_large, e.what());
    }
}

void RequestRouter::tick() {
    const Time now = ControlLoop::Clock::now();
    std::vector<Ticket> waiting;
    for (const auto& [ticket, attached] : attached_) {
        if (!attached.at && !attached.reading) waiting.push_back(ticket);
    }
    for (const Ticket ticket : waiting) {
        if (now - attached_.at(ticket).waiting_since > patience_.root) {
            give_up(ticket, ErrorCode::unavailable,
                    "no device of the cluster has become its root; see 'shoal status'");
        } else {
            route(ticket);
        }
    }
    // A large file takes a while to be read for the first time.
    if (!unresolved_.empty() && links_.reading_models()) {
        for (Unresolved& u : unresolved_) u.since = now;
    }
    std::vector<Unresolved> again;
    again.swap(unresolved_);
    for (Unresolved& u : again) {
        std::string why = "this device is not the cluster's root";
        const bool root = root_ == links_.self;
        if (root && resolve(*model_of(u.request), why)) {
            run_here(u.origin, std::move(u.request));
        } else if (now - u.since > patience_.model) {
            reply(u.origin, Failed{root ? ErrorCode::not_found : ErrorCode::unavailable, why});
        } else {
            unresolved_.push_back(std::move(u));
        }
    }
}

void RequestRouter::on_root_changed(const std::optional<mesh::DeviceId>& root) {
    root_ = root;
    // What ran here for others comes again from the devices it came from. Some may have heard
    // of our election before us: what they sent waits among the unresolved.
    jobs_.clear();
    const bool elsewhere = root_ && *root_ != links_.self;
    std::erase_if(unresolved_, [&](const Unresolved& u) {
        return elsewhere || u.origin.device == links_.self;  // our own are routed again below
    });
    std::vector<Ticket> tickets;
    for (auto& [ticket, attached] : attached_) {
        if (attached.at) wait_again(attached);
        if (!attached.reading) tickets.push_back(ticket);
    }
    for (const Ticket ticket : tickets) route(ticket);
}

void RequestRouter::wait_again(Attached& attached) {
    attached.at.reset();
    attached.waiting_since = ControlLoop::Clock::now();
    attached.moved = attached.moved || attached.first_token.has_value();
}

void RequestRouter::on_member_lost(const mesh::DeviceId& device) {
    // A device that comes back at once and is root still has forgotten what we asked of it.
    for (auto& [ticket, attached] : attached_) {
        if (attached.at == device) wait_again(attached);
    }
    std::vector<Origin> orphans;
    for (const auto& [job, origin] : jobs_) {
        if (origin.device == device) orphans.push_back(origin);
    }
    for (const Origin& origin : orphans) forget(origin);
    std::erase_if(unresolved_, [&](const Unresolved& u) { return u.origin.device == device; });
}

void RequestRouter::deliver(Ticket ticket, const Event& event) {
    const auto it = attached_.find(ticket);
    if (it == attached_.end()) return;
    if (const auto* token = std::get_if<Token>(&event)) {
        auto* request = std::get_if<Generate>(&it->second.request);
        if (request == nullptr || token->index != request->resume_ids.size()) return;
        request->resume_ids.push_back(token->id);
        if (!it->second.first_token) it->second.first_token = ControlLoop::Clock::now();
    }
    if (!mesh::wire::is_final(event)) return it->second.sink(event);
    const Attached attached = std::move(it->second);
    attached_.erase(it);
    if (const auto* status = std::get_if<mesh::wire::StatusReply>(&event)) {
        mesh::wire::StatusReply ours = *status;
        links_.localise(ours);
        return attached.sink(ours);
    }
    const auto* done = std::get_if<mesh::wire::Done>(&event);
    if (done == nullptr || !attached.moved) return attached.sink(event);
    // The last root knows only its own part of the time.
    mesh::wire::Done whole = *done;
    const Time now = ControlLoop::Clock::now();
    whole.decode_seconds =
        std::chrono::duration<double>(now - attached.first_token.value_or(now)).count();
    attached.sink(whole);
}

void RequestRouter::give_up(Ticket ticket, ErrorCode code, std::string message) {
    deliver(ticket, Failed{code, std::move(message)});
}

void RequestRouter::on_event(const mesh::DeviceId& from, const mesh::wire::EventFrame& frame) {
    const auto it = attached_.find(frame.id);
    if (it != attached_.end() && it->second.at == from) deliver(frame.id, frame.body);
}

void RequestRouter::on_request(const mesh::DeviceId& from, mesh::wire::RequestFrame frame) {
    const Origin origin{from, frame.id};
    if (auto failed = mesh::wire::validate(frame.body, Door::mesh);
        failed && !std::holds_alternative<LoadRequest>(frame.body)) {
        return reply(origin, *failed);
    }
    if (const auto* cancelled = std::get_if<CancelRequest>(&frame.body)) {
        return cancel_here({from, cancelled->request});
    }
    // A device that sends a request again has lost the first one's events.
    forget(origin);
    run_here(origin, std::move(frame.body));
}

// Ends what runs here for a request, without a word: nobody waits for it.
void RequestRouter::forget(const Origin& origin) {
    std::erase_if(unresolved_, [&](const Unresolved& u) { return u.origin == origin; });
    std::vector<JobId> jobs;
    for (const auto& [job, from] : jobs_) {
        if (from == origin) jobs.push_back(job);
    }
    for (const JobId job : jobs) {
        jobs_.erase(job);
        plan_root_.cancel(job);
    }
}

void RequestRouter::run_here(const Origin& origin, Request request) {
    if (std::holds_alternative<StatusRequest>(request)) return reply(origin, links_.status());
    std::string why = "this device is not the cluster's root";
    const std::string* name = model_of(request);
    if (name == nullptr) return reply(origin, Failed{ErrorCode::bad_request, "not for the root"});
    const bool root = root_ == links_.self;
    const auto model = root ? resolve(*name, why) : std::nullopt;
    if (!model && unresolved_.size() >= kMaxUnresolved) {
        reply(origin, Failed{ErrorCode::busy, why});
    } else if (!model) {
        unresolved_.push_back({origin, std::move(request), ControlLoop::Clock::now()});
    } else if (std::holds_alternative<Generate>(request) ||
               std::holds_alternative<LoadRequest>(request)) {
        run_job(origin, std::move(request), *model);
    } else {
        run_tokenizer(origin, std::move(request), *model);
    }
}

void RequestRouter::run_job(const Origin& origin, Request request, const KnownModel& model) {
    Job job;
    job.id = next_job_++;
    job.queued_at = ControlLoop::Clock::now();
    const bool load_only = std::holds_alternative<LoadRequest>(request);
    if (!load_only) job.request = std::get<Generate>(std::move(request));
    jobs_[job.id] = origin;
    const JobId id = job.id;
    if (plan_root_.submit(std::move(job), model, load_only)) return;
    jobs_.erase(id);
    reply(origin, Failed{ErrorCode::busy, "the queue is full; try again later"});
}

void RequestRouter::run_tokenizer(const Origin& origin, Request request, const KnownModel& model) {
    if (vocabulary_ && vocabulary_->hash == model.hash) {
        return tokenize_on_worker(origin, std::move(request));
    }
    links_.vocabulary(model, [this, origin, request = std::move(request)](
                                 std::shared_ptr<const OpenModel> open, const std::string& error) {
        if (!open) return reply(origin, Failed{ErrorCode::not_found, error});
        vocabulary_ = std::move(open);
        tokenize_on_worker(origin, request);
    });
}

// A long text takes a while, in which heartbeats must not wait.
void RequestRouter::tokenize_on_worker(const Origin& origin, Request request) {
    worker_.post([this, origin, request = std::move(request), open = vocabulary_] {
        Event event;
        try {
            event = tokenize(*open->tokenizer, request);
        } catch (const std::exception& e) {
            event = Failed{ErrorCode::internal, e.what()};
        }
        loop_.post([this, origin, event = std::move(event)] { reply(origin, event); });
    });
}

void RequestRouter::cancel_here(const Origin& origin) {
    for (const auto& [job, from] : jobs_) {
        if (from == origin) return plan_root_.cancel(job);
    }
    const auto it = std::find_if(unresolved_.begin(), unresolved_.end(),
                                 [&](const Unresolved& u) { return u.origin == origin; });
    if (it == unresolved_.end()) return;
    unresolved_.erase(it);
    reply(origin, Failed{ErrorCode::cancelled, "cancelled"});
}

void RequestRouter::on_job_event(JobId job, const Event& event) {
    const auto it = jobs_.find(job);
    if (it == jobs_.end()) return;
    const Origin origin = it->second;
    if (mesh::wire::is_final(event)) jobs_.erase(it);
    reply(origin, event);
}

void RequestRouter::reply(const Origin& origin, const Event& event) {
    if (origin.device == links_.self) return deliver(origin.id, event);
    // A device that cannot be reached is lost soon, and its requests with it.
    static_cast<void>(links_.send_event(origin.device, {origin.id, event}));
}

std::optional<KnownModel> RequestRouter::resolve(const std::string& wanted,
                                                 std::string& why) const {
    const mesh::wire::ModelsReply known = links_.models();
    const std::string name = wanted.empty() ? default_model_ : wanted;
    std::vector<const mesh::wire::ModelInfo*> found;
    for (const mesh::wire::ModelInfo& info : known.models) {
        if (name.empty() ? info.loaded
                         : info.name == name || info.hash == name || info.name + ".gguf" == name) {
            found.push_back(&info);
        }
    }
    if (name.empty() && found.empty()) {
        for (const mesh::wire::ModelInfo& info : known.models) found.push_back(&info);
    }
    // One content under several names is one model.
    const auto same = [&](const auto* info) { return info->hash == found[0]->hash; };
    const bool one = !found.empty() && std::all_of(found.begin(), found.end(), same);
    if (one) {
        return KnownModel{*mesh::ModelHash::from_hex(found[0]->hash), found[0]->name,
                          found[0]->file_bytes};
    }
    if (!name.empty() && !found.empty()) {
        why = "several models are called \"" + name + "\"; give the hash from 'shoal models'";
    } else if (name.empty()) {
        why = known.models.empty() ? "no device of the cluster holds a model; give the path of a "
                                     "GGUF file, or put one into a folder of [models] directories"
                                   : "which model? 'shoal models' lists those of the cluster";
    } else {
        why = "no device of the cluster holds a model called \"" + name +
              "\"; 'shoal models' lists those there are";
    }
    return std::nullopt;
}

}  // namespace shoal
