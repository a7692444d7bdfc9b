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

/// About what a JSON answer takes for a score beside the token's own text.
constexpr std::size_t kScoreBytes = 64;

std::size_t bytes_of(const std::vector<TokenScore>& scores) {
    std::size_t bytes = 0;
    for (const TokenScore& score : scores) bytes += score.text.size() + kScoreBytes;
    return bytes;
}

std::size_t bytes_of(const std::vector<ToolCall>& calls) {
    std::size_t bytes = 0;
    for (const ToolCall& call : calls) {
        bytes += call.id.size() + call.name.size() + call.arguments.size();
    }
    return bytes;
}

/// What an answer keeps of an event until its end.
std::size_t bytes_of(const Event& event) {
    if (const auto* token = std::get_if<Token>(&event)) {
        return token->text.size() + token->reasoning.size() + bytes_of(token->calls) +
               bytes_of(token->scores);
    }
    if (const auto* done = std::get_if<Done>(&event)) return done->embedding.size() * sizeof(float);
    const auto* prompt = std::get_if<PromptTokens>(&event);
    if (prompt == nullptr) return 0;
    std::size_t bytes = 0;
    for (const auto& entry : prompt->tokens) bytes += entry.text.size() + bytes_of(entry.scores);
    return bytes;
}

}  // namespace

ApiError unexpected_event() {
    return {500, "internal", "the service answered with something else than was asked", {}};
}

Reply::Reply(std::unique_ptr<Exchange> exchange, std::uint64_t client, const HttpOptions& options,
             Service& service, CancelLater cancel_later)
    : client_(client),
      options_(options),
      service_(service),
      cancel_later_(std::move(cancel_later)),
      exchange_(std::move(exchange)),
      parts_(exchange_->parts()) {}

void Reply::start() {
    if (parts_.empty()) {
        const std::lock_guard lock(mutex_);
        return end();
    }
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
        Request request = exchange_->request(part);
        if (auto* generate = std::get_if<Generate>(&request)) generate->client = client_;
        // Without the mutex: the service may call the sink before it returns.
        const Service::Ticket ticket = service_.start(
            std::move(request), Door::http,
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
        fail({503,
              "unavailable",
              fmt::format("no answer within {} ms", options_.answer_timeout.count()),
              {}});
    }
    return false;
}

void Reply::ask_again(Clock::time_point now) {
    {
        const std::lock_guard lock(mutex_);
        // A client that has not read the last answer does not need a newer one.
        if (!again_at_ || now < *again_at_ || cancelled_ || !buffer_.empty()) return;
        again_at_.reset();
        std::fill(parts_.begin(), parts_.end(), Part{});
        started_ = over_ = 0;
    }
    start_more_or_drop();
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
            write_event(part, event);
        } catch (const std::exception&) {
            // Out of memory, which is this client's loss and not the service's.
            closed_ = true;
            unpark();
        }
    }
    if (is_final(event)) start_more_or_drop();
}

void Reply::start_more_or_drop() noexcept {
    try {
        start_more();
    } catch (const std::exception&) {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        cancel_rest();
        unpark();
    }
}

void Reply::write_event(std::size_t part, const Event& event) {
    if (const auto* progress = std::get_if<Progress>(&event)) {
        // A client that has not read the last one does not miss it.
        if (stream_type() != nullptr && buffer_.empty()) append(exchange_->progress(*progress));
        return;
    }
    if (const auto* failed = std::get_if<Failed>(&event)) return fail(api_error(*failed));
    const auto* done = std::get_if<Done>(&event);
    if (done != nullptr && done->reason == StopReason::cancelled) return fail(cancelled());
    if (!within_limit(event)) return;
    Written written = exchange_->event(part, event);
    if (const auto* error = std::get_if<ApiError>(&written)) return fail(*error);
    append(std::get<std::string>(std::move(written)));
    if (over_ != parts_.size() || finished_) return;
    if (repeats()) {
        again_at_ = Clock::now() + exchange_->repeats();
    } else {
        end();
    }
}

/// Fails the answer if what it keeps with this event is too much.
bool Reply::within_limit(const Event& event) {
    if (!exchange_->keeps_texts()) return true;
    kept_bytes_ += bytes_of(event);
    if (kept_bytes_ <= options_.max_answer_bytes) return true;
    fail({413,
          "too_large",
          fmt::format("the answer has more than {} bytes; ask for fewer tokens or for a stream",
                      options_.max_answer_bytes),
          {}});
    return false;
}

void Reply::end() {
    Answer answer = exchange_->end();
    if (stream_type() == nullptr) {
        answer_ = std::move(answer);
    } else {
        // However slow the client is: this is all that still comes, and no longer than an answer.
        buffer_ += answer.body;
        stream_begun_ = true;
    }
    finish();
}

/// One part that fails is the end of all: the others are for nobody.
void Reply::cancel_rest() {
    cancelled_ = true;
    if (!service_done()) cancel_later_(shared_from_this());
}

/// Adds to a stream, unless its client is too slow.
void Reply::append(std::string&& bytes) {
    if (bytes.empty()) return;
    // Some dialects say a whole text at once at its end, which may be more than the buffer.
    if (buffer_.size() - sent_ > options_.max_stream_buffer_bytes) {
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
        buffer_ += exchange_->break_off(error);
    } else {
        answer_ = exchange_->refuse(error);
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
