#include "daemon/requests/request_meter.hpp"

#include <algorithm>
#include <utility>

namespace shoal {
namespace {

using mesh::messages::Done;
using mesh::messages::ErrorCode;
using mesh::messages::Event;
using mesh::messages::Failed;
using mesh::messages::StopReason;

constexpr std::size_t kLength = 1, kCancelled = 2;

std::size_t outcome_of(ErrorCode code) {
    if (code == ErrorCode::cancelled) return kCancelled;
    const auto number = static_cast<std::size_t>(code);
    const bool after = code > ErrorCode::cancelled;
    return std::min(kCancelled + number - (after ? 1 : 0), kOutcomes.size() - 1);
}

std::size_t outcome_of(StopReason reason) {
    if (reason == StopReason::cancelled) return kCancelled;
    return reason == StopReason::length ? kLength : 0;
}

double seconds(RequestMeter::Time from, RequestMeter::Time to) {
    return std::chrono::duration<double>(to - from).count();
}

}  // namespace

RequestFigures& RequestMeter::of(const std::string& model) {
    auto& models = reading_.models;
    const bool room = models.size() < kMaxModels || models.contains(model);
    return models[room ? model : std::string()];
}

RequestMeter::Course RequestMeter::begin(Time now) {
    const std::lock_guard lock(mutex_);
    ++reading_.active;
    return {now};
}

void RequestMeter::token(Course& course, const mesh::messages::Token& token, Time now) {
    const std::lock_guard lock(mutex_);
    if (!token.model.empty()) course.model = token.model;
    RequestFigures& figures = of(course.model);
    if (course.latest_token) {
        figures.next_token.add(seconds(*course.latest_token, now));
    } else {
        figures.first_token.add(seconds(course.begun, now));
    }
    course.latest_token = now;
}

void RequestMeter::end(const Course& course, const Event& final, Time now) {
    const std::lock_guard lock(mutex_);
    --reading_.active;
    if (const auto* failed = std::get_if<Failed>(&final)) {
        ++of(course.model).outcomes[outcome_of(failed->code)];
        return;
    }
    const auto* done = std::get_if<Done>(&final);
    if (done == nullptr) return;
    RequestFigures& figures = of(done->model);
    ++figures.outcomes[outcome_of(done->reason)];
    if (done->reason == StopReason::cancelled) return;
    figures.whole.add(seconds(course.begun, now));
    figures.queue.add(done->queue_seconds);
    figures.prefill.add(done->prefill_seconds);
    figures.prompt_tokens.add(done->prompt_tokens);
    figures.generated_tokens.add(done->generated_tokens);
}

void RequestMeter::refuse(const Failed& failed) {
    const std::lock_guard lock(mutex_);
    ++of("").outcomes[outcome_of(failed.code)];
}

RequestMeter::Reading RequestMeter::read() const {
    const std::lock_guard lock(mutex_);
    return reading_;
}

}  // namespace shoal
