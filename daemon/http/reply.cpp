#include "daemon/http/reply.hpp"

#include <fmt/format.h>
#include <microhttpd.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <utility>

namespace shoal::http {
namespace {

using namespace mesh::wire;

/// A sent part of the buffer is given up when it is this long, so that it moves rarely.
constexpr std::size_t kCompactBytes = 16u << 10;

ApiError cancelled() {
    return {499, "cancelled", "the generation was cancelled by this device; try again", {}};
}

ApiError unexpected() {
    return {500, "internal", "the service answered with something else than was asked", {}};
}

/// Empty when the cluster can answer prompts.
std::string unhealthy(const StatusReply& status) {
    return status.root.empty() ? "no root is elected; the devices are still finding each other"
                               : "";
}

/// The answer that a final event is, other than of a completion.
Answer answer_of(Endpoint endpoint, const Event& event) {
    if (const auto* failed = std::get_if<Failed>(&event)) {
        if (endpoint == Endpoint::health) return {503, health_json(failed->message), true};
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
        case Endpoint::cluster:
            if (const auto* r = std::get_if<StatusReply>(&event)) return {200, cluster_json(*r)};
            break;
        case Endpoint::health:
            if (const auto* r = std::get_if<StatusReply>(&event)) {
                const std::string reason = unhealthy(*r);
                return {reason.empty() ? 200U : 503U, health_json(reason), !reason.empty()};
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
      cancel_later_(std::move(cancel_later)) {}

void Reply::start(Request request) {
    // Without the mutex: the service may call the sink before it returns.
    const Service::Ticket ticket =
        service_.start(std::move(request), Door::http,
                       [self = shared_from_this()](const Event& event) { self->on_event(event); });
    bool cancel = false;
    {
        const std::lock_guard lock(mutex_);
        ticket_ = ticket;
        cancel = std::exchange(cancel_wanted_, false) && !service_done_;
    }
    if (cancel) service_.cancel(ticket);
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
    std::optional<Service::Ticket> ticket;
    {
        const std::lock_guard lock(mutex_);
        if (service_done_) return;
        if (!ticket_) cancel_wanted_ = true;
        ticket = ticket_;
    }
    // Without the mutex: the service may call the sink before it returns.
    if (ticket) service_.cancel(*ticket);
}

bool Reply::overdue(Clock::time_point now) {
    const std::lock_guard lock(mutex_);
    if (finished_) return now - *finished_ > options_.drain_timeout;
    if (is_generation()) return false;  // May take as long as it takes.
    if (now - begun_ > options_.answer_timeout) {
        const std::string why =
            fmt::format("no answer within {} ms", options_.answer_timeout.count());
        if (kind_.endpoint == Endpoint::health) {
            answer_ = Answer{503, health_json(why), true};
            finish();
        } else {
            fail({503, "unavailable", why, {}});
        }
        cancel_later_(shared_from_this());
    }
    return false;
}

void Reply::on_event(const Event& event) {
    const std::lock_guard lock(mutex_);
    if (is_final(event)) service_done_ = true;
    if (closed_ || finished_) return;
    try {
        if (kind_.stream) {
            stream_event(event);
        } else {
            whole_event(event);
        }
    } catch (const std::exception&) {
        // Out of memory, which is this client's loss and not the service's.
        closed_ = true;
        unpark();
    }
}

void Reply::stream_event(const Event& event) {
    if (const auto* progress = std::get_if<Progress>(&event)) {
        // A client that has not read the last one does not miss it.
        if (buffer_.empty()) append(sse_progress(*progress));
    } else if (const auto* token = std::get_if<Token>(&event)) {
        if (!token->text.empty()) append(sse_text(kind_.head, token->text));
    } else if (const auto* failed = std::get_if<Failed>(&event)) {
        fail(api_error(*failed));
    } else if (const auto* done = std::get_if<Done>(&event)) {
        if (done->reason == StopReason::cancelled) return fail(cancelled());
        append(sse_done(kind_.head, *done));
        if (!finished_) finish();
    } else {
        fail(unexpected());
    }
}

void Reply::whole_event(const Event& event) {
    if (std::holds_alternative<Progress>(event)) return;
    if (const auto* token = std::get_if<Token>(&event)) {
        buffer_ += token->text;
        if (buffer_.size() <= options_.max_answer_bytes) return;
        fail({413,
              "too_large",
              fmt::format("the answer has more than {} bytes; ask for fewer tokens or for a stream",
                          options_.max_answer_bytes),
              {}});
        return cancel_later_(shared_from_this());
    }
    const auto* done = std::get_if<Done>(&event);
    if (kind_.endpoint == Endpoint::completions && done != nullptr) {
        if (done->reason == StopReason::cancelled) return fail(cancelled());
        answer_ = Answer{200, completion_json(kind_.head, buffer_ + done->text, *done)};
    } else {
        answer_ = answer_of(kind_.endpoint, event);
    }
    finish();
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
        if (!service_done_) cancel_later_(shared_from_this());
        return;
    }
    buffer_ += bytes;
    stream_begun_ = true;
    unpark();
}

/// Ends the answer with an error: within the stream once that has begun.
void Reply::fail(const ApiError& error) {
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
