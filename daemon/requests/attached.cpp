#include "daemon/requests/attached.hpp"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/requests/cluster_admin.hpp"
#include "daemon/requests/model_names.hpp"

namespace shoal {

using mesh::messages::BenchRequest;
using mesh::messages::CancelRequest;
using mesh::messages::Done;
using mesh::messages::Door;
using mesh::messages::ErrorCode;
using mesh::messages::Event;
using mesh::messages::Failed;
using mesh::messages::Generate;
using mesh::messages::JoinRequest;
using mesh::messages::ModelsRequest;
using mesh::messages::Progress;
using mesh::messages::PromptTokens;
using mesh::messages::Request;
using mesh::messages::StatusReply;
using mesh::messages::StatusRequest;
using mesh::messages::Token;

namespace {

// What found no room on the way to the root is tried again this often.
constexpr auto kRequestRetry = std::chrono::milliseconds(100);

bool is_path(const std::string& model) {
    return model.find('/') != std::string::npos || model.starts_with('.');
}

}  // namespace

Attached::Ticket Attached::start(Request request, Door door, Sink sink) {
    const Ticket ticket = next_ticket_++;
    loop_.post(
        [this, ticket, request = std::move(request), door, sink = std::move(sink)]() mutable {
            begin(ticket, std::move(request), door, std::move(sink));
        });
    return ticket;
}

void Attached::cancel(Ticket ticket) noexcept {
    loop_.post([this, ticket] {
        const auto it = records_.find(ticket);
        if (it == records_.end() || it->second.cancelled) return;
        it->second.cancelled = true;
        switch (it->second.stage) {
            case Stage::reading:
            case Stage::waiting:
                return give_up(ticket, ErrorCode::cancelled, "cancelled");
            case Stage::here:
                return desk_.cancel({ports_.self(), ticket});
            case Stage::asked:
                return withdraw(ticket);
            case Stage::measuring:
                give_up(ticket, ErrorCode::cancelled, "cancelled");
                return ports_.stop_bench();
            case Stage::administering: {
                const bool joins = std::holds_alternative<JoinRequest>(it->second.request);
                give_up(ticket, ErrorCode::cancelled, "cancelled");
                if (joins) ports_.stop_joining();
                return;
            }
        }
    });
}

void Attached::begin(Ticket ticket, Request request, Door door, Sink sink) {
    const bool generates = std::holds_alternative<Generate>(request);
    if (auto failed = mesh::messages::validate(request, door)) {
        if (generates) meter_.refuse(*failed);
        return sink(*failed);
    }
    if (std::holds_alternative<CancelRequest>(request)) {
        return sink(Failed{ErrorCode::bad_request, "nothing to cancel here"});
    }
    if (std::holds_alternative<ModelsRequest>(request)) return sink(ports_.models());
    if (std::holds_alternative<StatusRequest>(request) && (!root_ || *root_ == ports_.self())) {
        return sink(seen_from_here(ports_.status()));
    }
    if (const auto* bench = std::get_if<BenchRequest>(&request)) {
        return measure(ticket, *bench, std::move(sink));
    }
    if (ClusterAdmin::is_concerned(request)) {
        return administer(ticket, std::move(request), std::move(sink));
    }
    const std::string* model = model_of(request);
    const bool path = model != nullptr && is_path(*model);
    const bool unknown =
        model != nullptr && !path && find_model(ports_.models(), *model).nobody_has_it;
    Record& record = records_[ticket] = {std::move(request), std::move(sink)};
    if (generates) record.course = meter_.begin(loop_.now());
    path ? read(ticket) : unknown ? look_for(ticket) : place(ticket);
}

void Attached::measure(Ticket ticket, const BenchRequest& request, Sink sink) {
    records_[ticket] = {request, std::move(sink), Stage::measuring};
    ports_.bench(request, [this, ticket](const Event& event) { deliver(ticket, event); });
}

void Attached::administer(Ticket ticket, Request request, Sink sink) {
    records_[ticket] = {request, std::move(sink), Stage::administering};
    ports_.administer(request, [this, ticket](const Event& event) { deliver(ticket, event); });
}

// A file of this device, wherever it lies: from here on by its hash.
void Attached::read(Ticket ticket) {
    Record& record = records_.at(ticket);
    record.sink(Progress{"reading the model file", 0, 0});
    ports_.add(*model_of(record.request),
               [this, ticket](const mesh::ModelHash& hash, const std::string& error) {
                   const auto it = records_.find(ticket);
                   if (it == records_.end()) return;
                   if (!error.empty()) return give_up(ticket, ErrorCode::not_found, error);
                   *model_of(it->second.request) = hash.hex();
                   place(ticket);
               });
}

// Its file may just have been put into a folder of this device.
void Attached::look_for(Ticket ticket) {
    records_.at(ticket).again = loop_.after(
        patience_.model, [this, ticket] { place(ticket); }, "folders of models");
    ports_.settle([this, ticket] { found(ticket); });
}

void Attached::found(Ticket ticket) {
    const auto it = records_.find(ticket);
    if (it == records_.end() || it->second.stage != Stage::reading) return;
    std::string& model = *model_of(it->second.request);
    // A root elsewhere hears of it with the next heartbeat, and waits for what has a hash.
    const auto known = find_model(ports_.models(), model).model;
    if (known) model = known->hash.hex();
    place(ticket);
}

void Attached::place(Ticket ticket) {
    Record& record = records_.at(ticket);
    record.stage = Stage::here;
    record.again.reset();
    if (desk_.take_text({ports_.self(), ticket}, record.request)) return;
    wait_anew(record);
    ask(ticket);
}

// Asks the root; without one, or without room on the way to it, the request waits.
void Attached::ask(Ticket ticket) {
    const auto it = records_.find(ticket);
    if (it == records_.end()) return;
    Record& record = it->second;
    record.again.reset();
    if (record.cancelled) return give_up(ticket, ErrorCode::cancelled, "cancelled");
    if (root_) {
        record.stage = Stage::asked;
        if (*root_ == ports_.self()) return desk_.take({ports_.self(), ticket}, record.request);
        try {
            if (ports_.send_request(*root_, {ticket, record.request, ++record.attempt})) return;
        } catch (const std::length_error& e) {
            // What was generated so far counts as well.
            return give_up(ticket, ErrorCode::too_large, e.what());
        }
        record.stage = Stage::waiting;
    }
    const Loop::Time end = record.waiting_since + patience_.root;
    if (loop_.now() >= end) {
        return give_up(ticket, ErrorCode::unavailable,
                       "no device of the cluster has become its root; see 'shoal status'");
    }
    wait(ticket, root_ ? std::min(end, loop_.now() + kRequestRetry) : end);
}

void Attached::wait(Ticket ticket, Loop::Time until) {
    records_.at(ticket).again = loop_.at(
        until, [this, ticket] { ask(ticket); }, "a root to ask");
}

void Attached::wait_anew(Record& record) {
    record.stage = Stage::waiting;
    record.waiting_since = loop_.now();
    record.moved = record.moved || record.first_token.has_value();
}

void Attached::on_root_changed(const std::optional<mesh::DeviceId>& root) {
    root_ = root;
    std::vector<Ticket> waiting;
    for (auto& [ticket, record] : records_) {
        if (record.stage == Stage::asked) wait_anew(record);
        if (record.stage == Stage::waiting) waiting.push_back(ticket);
    }
    for (const Ticket ticket : waiting) ask(ticket);
}

// A root that comes back at once has forgotten what we asked of it. It is asked again when it has
// had the time to find us lost, too, or after the next election.
void Attached::on_member_lost(const mesh::DeviceId& device) {
    if (root_ != device) return;
    std::vector<Ticket> deadly;
    for (auto& [ticket, record] : records_) {
        if (record.stage != Stage::asked) continue;
        wait_anew(record);
        wait(ticket, loop_.now() + kRequestRetry);
        if (++record.lost_roots == kMaxLostRoots) deadly.push_back(ticket);
    }
    for (const Ticket ticket : deadly) {
        give_up(ticket, ErrorCode::internal,
                "this request is given up: " + std::to_string(kMaxLostRoots) +
                    " times the device that led was lost before it gave a token");
    }
}

void Attached::withdraw(Ticket ticket) {
    if (*root_ == ports_.self()) return desk_.cancel({ports_.self(), ticket});
    Record& record = records_.at(ticket);
    if (ports_.send_request(*root_, {ticket, CancelRequest{ticket}, record.attempt})) return;
    record.again = loop_.after(
        kRequestRetry, [this, ticket] { withdraw(ticket); }, "a root to tell");
}

void Attached::on_event(const mesh::DeviceId& from, const mesh::messages::EventFrame& frame) {
    const auto it = records_.find(frame.id);
    if (it == records_.end() || it->second.stage != Stage::asked || from != root_) return;
    if (frame.attempt != it->second.attempt) return;
    deliver(frame.id, frame.body);
}

void Attached::deliver(Ticket ticket, const Event& event) {
    const auto it = records_.find(ticket);
    if (it == records_.end()) return;
    if (const auto* token = std::get_if<Token>(&event)) {
        auto* request = std::get_if<Generate>(&it->second.request);
        if (request == nullptr || token->index != request->resume_ids.size()) return;
        request->resume_ids.push_back(token->id);
        it->second.lost_roots = 0;
        const Loop::Time now = loop_.now();
        if (!it->second.first_token) it->second.first_token = now;
        if (it->second.course) meter_.token(*it->second.course, *token, now);
    }
    if (const auto* tokens = std::get_if<PromptTokens>(&event)) {
        return show_prompt(it->second, *tokens);
    }
    if (!mesh::messages::is_final(event)) return it->second.sink(event);

    const Record record = std::move(it->second);
    records_.erase(it);
    if (record.course) meter_.end(*record.course, event, loop_.now());
    if (const auto* status = std::get_if<StatusReply>(&event)) {
        return record.sink(seen_from_here(*status));
    }
    const auto* done = std::get_if<Done>(&event);
    if (done == nullptr || !record.moved) return record.sink(event);
    // The last root knows only its own part of the time.
    Done whole = *done;
    const Loop::Time now = loop_.now();
    whole.decode_seconds =
        std::chrono::duration<double>(now - record.first_token.value_or(now)).count();
    record.sink(whole);
}

// A root that begins anew tells the prompt from its first token on; what was shown is left out.
void Attached::show_prompt(Record& record, const PromptTokens& tokens) {
    const std::size_t end = tokens.first + tokens.tokens.size();
    if (tokens.first > record.prompt_shown || end <= record.prompt_shown) return;
    PromptTokens rest;
    rest.first = static_cast<std::uint32_t>(record.prompt_shown);
    rest.tokens.assign(
        tokens.tokens.begin() + static_cast<std::ptrdiff_t>(record.prompt_shown - tokens.first),
        tokens.tokens.end());
    record.prompt_shown = end;
    record.lost_roots = 0;
    record.sink(rest);
}

StatusReply Attached::seen_from_here(StatusReply status) const {
    ports_.localise(status);
    return status;
}

void Attached::give_up(Ticket ticket, ErrorCode code, std::string message) {
    deliver(ticket, Failed{code, std::move(message)});
}

}  // namespace shoal
