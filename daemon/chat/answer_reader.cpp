#include "daemon/chat/answer_reader.hpp"

#include <algorithm>
#include <utility>

#include "daemon/chat/json_text.hpp"

namespace shoal::chat {
namespace {

/// Keeps the end of `held` within its limit; returns what does not fit.
std::string overflow(std::string& held) {
    if (held.size() <= kMaxHeldSpaces) return {};
    std::string front = held.substr(0, held.size() - kMaxHeldSpaces);
    held.erase(0, front.size());
    return front;
}

}  // namespace

AnswerReader::AnswerReader(AnswerFormat format, const ReaderOptions& options)
    : format_(std::move(format)),
      syntax_(syntax_of(format_.calls)),
      tools_(options.tools),
      look_for_calls_(options.calls),
      parallel_(options.parallel_calls),
      random_(options.random) {
    add_marks();
    begin_state(options.prompt_end);
}

AnswerReader::~AnswerReader() = default;

std::vector<AnswerEvent> AnswerReader::feed(std::string_view text) {
    if (state_ == State::stopped) return {};
    pending_ += text;
    while (step()) {
    }
    pending_.erase(0, at_);
    at_ = 0;
    return std::exchange(events_, {});
}

std::vector<AnswerEvent> AnswerReader::finish(Ending ending) {
    ending_ = ending;
    while (step()) {
    }
    finish_held();
    pending_.clear();
    state_ = State::stopped;
    return std::exchange(events_, {});
}

/// What is still pending is half of something.
void AnswerReader::finish_held() {
    if (state_ == State::call && body_->is_certain()) {
        unfinished_call_ = true;
        return;
    }
    if (state_ == State::call || state_ == State::opening) {
        visible(std::string_view(pending_).substr(at_));
    }
    if (held_section_) {
        unfinished_call_ = true;
    } else {
        emit(EventKind::content, held_);
    }
}

bool AnswerReader::step() {
    switch (state_) {
        case State::opening:
            return step_opening();
        case State::content:
            return step_content();
        case State::reasoning:
            return step_reasoning();
        case State::call:
            return step_call();
        case State::channel:
            return step_channel();
        case State::stopped:
            break;
    }
    at_ = pending_.size();
    return false;
}

bool AnswerReader::step_content() {
    while (at_ < pending_.size()) {
        std::size_t next = at_;
        const auto begins = [this](char c) {
            return content_marks_.begins[static_cast<unsigned char>(c)] ||
                   (bare_ != nullptr && at_start_ && (c == '{' || c == '['));
        };
        while (next < pending_.size() && !begins(pending_[next])) ++next;
        visible(std::string_view(pending_).substr(at_, next - at_));
        at_ = next;
        if (at_ == pending_.size()) return false;
        const Found found = find_at(content_marks_, at_);
        if (found.mark != nullptr) {
            on_mark(*found.mark);
            return true;
        }
        if (found.part) return false;
        if (begin_bare(pending_[at_])) return true;
        visible(std::string_view(pending_).substr(at_, 1));
        ++at_;
    }
    return false;
}

bool AnswerReader::step_reasoning() {
    std::size_t next = at_;
    for (; next < pending_.size(); ++next) {
        if (!reasoning_marks_.begins[static_cast<unsigned char>(pending_[next])]) continue;
        const Found found = find_at(reasoning_marks_, next);
        if (found.mark == nullptr && !found.part) continue;
        reason(std::string_view(pending_).substr(at_, next - at_));
        at_ = next;
        if (found.part) return false;
        // The mark of harmony's next message is read there; a stop is one everywhere.
        if (found.mark->role == Role::reasoning_end) at_ += found.mark->text.size();
        end_reasoning();
        return true;
    }
    reason(std::string_view(pending_).substr(at_));
    at_ = pending_.size();
    return false;
}

bool AnswerReader::step_call() {
    const CallBody::State state = body_->read(std::string_view(pending_).substr(at_ + mark_bytes_));
    if (state == CallBody::State::more) return false;
    const std::size_t bytes = mark_bytes_ + body_->end();
    state_ = State::content;
    if (state == CallBody::State::done) {
        accept(body_->calls());
    } else if (state == CallBody::State::text) {
        visible(std::string_view(pending_).substr(at_, bytes));
    }
    at_ += bytes;
    return true;
}

/// The longest mark at the offset. One that may still become longer waits for the rest of the text.
AnswerReader::Found AnswerReader::find_at(const Marks& marks, std::size_t at) const {
    const std::string_view rest = std::string_view(pending_).substr(at);
    const Mark* longest = nullptr;
    bool part = false;
    for (const Mark& mark : marks.list) {
        const std::size_t common = std::min(rest.size(), mark.text.size());
        if (rest.compare(0, common, mark.text, 0, common) != 0 || !counts(mark)) continue;
        if (common < mark.text.size()) {
            part = true;
        } else if (longest == nullptr || longest->text.size() < mark.text.size()) {
            longest = &mark;
        }
    }
    if (part && !ending_) return {nullptr, true};
    return {longest, longest == nullptr && part && ending_ == Ending::cut_off};
}

bool AnswerReader::counts(const Mark& mark) const noexcept {
    if (mark.role == Role::after) return after_call_;
    return !mark.only_first || at_start_;
}

void AnswerReader::on_mark(const Mark& mark) {
    const std::size_t bytes = mark.text.size();
    switch (mark.role) {
        case Role::call:
            if (mark.frame->body == Body::channel) {
                begin_channel(bytes);
            } else {
                begin_call(*mark.frame, bytes);
            }
            return;
        case Role::before:
            if (held_section_) show_held();
            held_ += mark.text;
            held_section_ = true;
            break;
        case Role::reasoning:
            begin_reasoning(mark.reasoning);
            break;
        case Role::stop:
            state_ = State::stopped;
            break;
        case Role::after:
        case Role::silent:
        case Role::reasoning_end:
        case Role::next_message:
            break;
    }
    at_ += bytes;
}

bool AnswerReader::begin_bare(char bracket) {
    if (bare_ == nullptr || !at_start_) return false;
    if (bracket != '[' && (bracket != '{' || bare_->body == Body::python)) return false;
    begin_call(*bare_, 0);
    return true;
}

void AnswerReader::begin_call(const CallFrame& frame, std::size_t mark_bytes) {
    state_ = State::call;
    mark_bytes_ = mark_bytes;
    body_.emplace(frame, tools_, format_.calls == CallFormat::apertus);
}

/// Text for the user. Spaces wait for what comes next: a call takes them away.
void AnswerReader::visible(std::string_view text) {
    if (trim_ && !held_section_) {
        text.remove_prefix(std::min(text.find_first_not_of(kSpaces), text.size()));
    }
    if (text.empty()) return;
    const std::size_t last = text.find_last_not_of(kSpaces);
    if (last == std::string_view::npos) {
        held_ += text;
        emit(EventKind::content, overflow(held_));
        return;
    }
    show_held();
    emit(EventKind::content, text.substr(0, last + 1));
    held_ = text.substr(last + 1);
    emit(EventKind::content, overflow(held_));
}

/// No call has followed after all.
void AnswerReader::show_held() {
    emit(EventKind::content, held_);
    held_.clear();
    held_section_ = trim_ = at_start_ = after_call_ = false;
}

void AnswerReader::emit(EventKind kind, std::string_view text) {
    if (text.empty()) return;
    if (kind == EventKind::content) shown_ = true;
    if (!events_.empty() && events_.back().kind == kind) {
        events_.back().text += text;
    } else {
        events_.push_back({.kind = kind, .text = std::string(text)});
    }
}

void AnswerReader::accept(std::vector<Call>& calls) {
    held_.clear();
    held_section_ = false;
    trim_ = after_call_ = at_start_ = true;
    for (Call& call : calls) {
        if (!parallel_ && calls_ > 0) return;
        events_.push_back(
            {.kind = EventKind::call_begin, .call = calls_, .id = id_of(call), .name = call.name});
        events_.push_back(
            {.kind = EventKind::call_arguments, .text = std::move(call.arguments), .call = calls_});
        events_.push_back({.kind = EventKind::call_end, .call = calls_});
        ++calls_;
    }
}

}  // namespace shoal::chat
