#include "daemon/http/reply.hpp"

#include <fmt/format.h>
#include <microhttpd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <utility>

namespace shoal::http {
namespace {

using namespace mesh::messages;

/// A sent part of the buffer is given up when it is this long, so that it moves rarely.
constexpr std::size_t kCompactBytes = 16u << 10;

ApiError cancelled() {
    return {499, "cancelled", "the generation was cancelled by this device; try again", {}};
}

ApiError unexpected() {
    return {500, "internal", "the service answered with something else than was asked", {}};
}

/// The answer that a final event is, other than of a completion.
Answer answer_of(const Reply::Kind& kind, const Event& event) {
    const Endpoint endpoint = kind.endpoint;
    if (const auto* failed = std::get_if<Failed>(&event)) {
        if (endpoint == Endpoint::health) return {503, unhealthy_json(failed->message), true};
        return answer_of(api_error(*failed));
    }
    switch (endpoint) {
        case Endpoint::tokenize:
            if (const auto* r = std::get_if<TokenizeReply>(&event)) return {200, tokens_json(*r)};
            break;
        case Endpoint::detokenize:
            if (const auto* r = std::get_if<DetokenizeReply>(&event)) return {200, text_json(*r)};
            break;
        case Endpoint::models:
            if (const auto* r = std::get_if<ModelsReply>(&event)) return {200, models_json(*r)};
            break;
        case Endpoint::model:
            if (const auto* r = std::get_if<ModelsReply>(&event)) {
                if (auto json = model_json(*r, kind.model)) return {200, *std::move(json)};
                return answer_of(api_error(
                    Failed{ErrorCode::not_found,
                           fmt::format("no device of the cluster holds a model called \"{}\"; GET "
                                       "/v1/models lists those there are",
                                       kind.model.substr(0, kQuotedBytes))}));
            }
            break;
        case Endpoint::cluster:
            if (const auto* r = std::get_if<StatusReply>(&event)) return {200, cluster_json(*r)};
            break;
        case Endpoint::health:
            if (const auto* r = std::get_if<StatusReply>(&event)) {
                const bool ok = !r->root.empty();
                return {ok ? 200U : 503U, health_json(*r), !ok};
            }
            break;
        case Endpoint::completions:
            break;
    }
    return answer_of(unexpected());
}

}  // namespace

Answer answer_of(const ApiError& error) {
    return {error.status, error.json(), error.status == 503};
}

Reply::Reply(Kind kind, const HttpOptions& options, Service& service, CancelLater cancel_later)
    : kind_(std::move(kind)),
      options_(options),
      service_(service),
      cancel_later_(std::move(cancel_later)),
      parts_(kind_.choices),
      head_(kind_.head) {}

void Reply::start(Requests requests) {
    requests_ = std::move(requests);
    start_more();
}

void Reply::start_more() {
    while (true) {
        std::size_t part = 0;
        {
            const std::lock_guard lock(mutex_);
            if (started_ == parts_.size() || started_ - over_ >= kAtOnce || cancelled_) return;
            part = started_++;
        }
        // Without the mutex: the service may call the sink before it returns.
        const Service::Ticket ticket = service_.start(
            requests_(part), Door::http,
            [self = shared_from_this(), part](const Event& event) { self->on_event(part, event); });
        bool cancel = false;
        {
            const std::lock_guard lock(mutex_);
            parts_[part].ticket = ticket;
            cancel = cancelled_ && !parts_[part].over;
        }
        if (cancel) service_.cancel(ticket);
    }
}

Reply::Step Reply::step(MHD_Connection* connection) {
    const std::lock_guard lock(mutex_);
    if (closed_) return Step::drop;
    if (answer_ || stream_begun_) return Step::respond;
    parked_ = connection;
    MHD_suspend_connection(connection);
    return Step::parked;
}

std::optional<Answer> Reply::take_answer() {
    const std::lock_guard lock(mutex_);
    return std::exchange(answer_, std::nullopt);
}

Reply::Read Reply::read(MHD_Connection* connection, char* out, std::size_t capacity,
                        std::size_t& size) {
    const std::lock_guard lock(mutex_);
    if (closed_) return Read::broken;
    if (buffer_.empty()) {
        if (finished_) return Read::end;
        parked_ = connection;
        MHD_suspend_connection(connection);
        return Read::parked;
    }
    size = std::min(capacity, buffer_.size() - sent_);
    std::memcpy(out, buffer_.data() + sent_, size);
    sent_ += size;
    if (sent_ == buffer_.size() || sent_ >= kCompactBytes) {
        buffer_.erase(0, sent_);
        sent_ = 0;
    }
    return Read::some;
}

void Reply::abort() {
    {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        unpark();
    }
    cancel_service();
}

void Reply::client_left() {
    if (!is_generation()) return;
    {
        const std::lock_guard lock(mutex_);
        if (finished_) return;
    }
    abort();
}

void Reply::close() noexcept {
    {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        parked_ = nullptr;
    }
    cancel_service();
}

void Reply::cancel_service() noexcept {
    std::array<Service::Ticket, kAtOnce> running{};
    std::size_t count = 0;
    {
        const std::lock_guard lock(mutex_);
        cancelled_ = true;
        for (const Part& part : parts_) {
            if (part.ticket && !part.over) running.at(count++) = *part.ticket;
        }
    }
    // Without the mutex: the service may call the sink before it returns.
    for (std::size_t i = 0; i < count; ++i) service_.cancel(running.at(i));
}

bool Reply::overdue(Clock::time_point now) {
    const std::lock_guard lock(mutex_);
    if (finished_) return now - *finished_ > options_.drain_timeout;
    if (is_generation()) return false;  // May take as long as it takes.
    if (now - begun_ > options_.answer_timeout) {
        const std::string why =
            fmt::format("no answer within {} ms", options_.answer_timeout.count());
        if (kind_.endpoint == Endpoint::health) {
            answer_ = Answer{503, unhealthy_json(why), true};
            cancel_rest();
            finish();
        } else {
            fail({503, "unavailable", why, {}});
        }
    }
    return false;
}

void Reply::on_event(std::size_t part, const Event& event) {
    {
        const std::lock_guard lock(mutex_);
        if (is_final(event)) {
            parts_[part].over = true;
            ++over_;
        }
        if (closed_ || finished_) return;
        try {
            if (kind_.stream) {
                stream_event(part, event);
            } else {
                whole_event(part, event);
            }
        } catch (const std::exception&) {
            // Out of memory, which is this client's loss and not the service's.
            closed_ = true;
            unpark();
        }
    }
    if (!is_final(event)) return;
    try {
        start_more();
    } catch (const std::exception&) {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        cancel_rest();
        unpark();
    }
}

void Reply::stream_event(std::size_t part, const Event& event) {
    if (const auto* progress = std::get_if<Progress>(&event)) {
        // A client that has not read the last one does not miss it.
        if (buffer_.empty()) append(sse_progress(*progress));
    } else if (const auto* token = std::get_if<Token>(&event)) {
        if (!token->model.empty()) head_.model = token->model;
        if (!token->text.empty()) append(sse_text(head_, part, token->text));
    } else if (const auto* failed = std::get_if<Failed>(&event)) {
        fail(api_error(*failed));
    } else if (const auto* done = std::get_if<Done>(&event)) {
        if (done->reason == StopReason::cancelled) return fail(cancelled());
        add_to_total(part, *done);
        std::string end = sse_end(head_, part, *done);
        if (over_ == parts_.size()) end += sse_last(head_, total_);
        append(std::move(end));
        if (over_ == parts_.size() && !finished_) finish();
    } else {
        fail(unexpected());
    }
}

void Reply::whole_event(std::size_t part, const Event& event) {
    if (std::holds_alternative<Progress>(event)) return;
    Choice& choice = parts_[part].choice;
    if (const auto* token = std::get_if<Token>(&event)) {
        choice.text += token->text;
        text_bytes_ += token->text.size();
        if (text_bytes_ <= options_.max_answer_bytes) return;
        return fail({413,
                     "too_large",
                     fmt::format("the answer has more than {} bytes; ask for fewer tokens or for a "
                                 "stream",
                                 options_.max_answer_bytes),
                     {}});
    }
    const auto* done = std::get_if<Done>(&event);
    if (kind_.endpoint != Endpoint::completions || done == nullptr) {
        answer_ = answer_of(kind_, event);
        cancel_rest();
        return finish();
    }
    if (done->reason == StopReason::cancelled) return fail(cancelled());
    add_to_total(part, *done);
    choice.text += done->text;
    choice.reason = done->reason;
    if (over_ < parts_.size()) return;
    std::vector<Choice> choices;
    for (Part& p : parts_) choices.push_back(std::move(p.choice));
    answer_ = Answer{200, completion_json(head_, choices, total_)};
    finish();
}

/// A prompt counts once, however many choices are made of it; times add up.
void Reply::add_to_total(std::size_t part, const Done& done) {
    if (part % kind_.per_prompt == 0) total_.prompt_tokens += done.prompt_tokens;
    total_.generated_tokens += done.generated_tokens;
    total_.load_seconds += done.load_seconds;
    total_.queue_seconds += done.queue_seconds;
    total_.prefill_seconds += done.prefill_seconds;
    total_.decode_seconds += done.decode_seconds;
    total_.devices = std::max(total_.devices, done.devices);
    total_.model = done.model;
}

/// One choice that fails is the end of all: the others are for nobody.
void Reply::cancel_rest() {
    cancelled_ = true;
    if (!service_done()) cancel_later_(shared_from_this());
}

/// Adds to a stream, unless its client is too slow.
void Reply::append(std::string&& bytes) {
    if (buffer_.size() - sent_ + bytes.size() > options_.max_stream_buffer_bytes) {
        fail({408,
              "too_slow",
              fmt::format("more than {} bytes waited for this client to read them; the generation "
                          "was ended",
                          options_.max_stream_buffer_bytes),
              {}});
        return;
    }
    buffer_ += bytes;
    stream_begun_ = true;
    unpark();
}

/// Ends the answer with an error: within the stream once that has begun.
void Reply::fail(const ApiError& error) {
    cancel_rest();
    if (stream_begun_) {
        buffer_ += sse_error(error);
    } else {
        answer_ = answer_of(error);
    }
    finish();
}

void Reply::finish() {
    finished_ = Clock::now();
    unpark();
}

void Reply::unpark() {
    // Within the mutex: once it is free, the HTTP thread may close the connection.
    if (parked_ != nullptr) MHD_resume_connection(std::exchange(parked_, nullptr));
}

}  // namespace shoal::http
