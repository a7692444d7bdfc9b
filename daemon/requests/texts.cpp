#include "daemon/requests/texts.hpp"

#include <exception>
#include <utility>

#include "daemon/requests/text_answers.hpp"

namespace shoal {

using mesh::messages::ErrorCode;
using mesh::messages::Event;
using mesh::messages::Failed;
using mesh::messages::Request;

void Texts::answer(const Origin& origin, Request request, const KnownModel& model) {
    stop(origin);
    if (running_.size() >= kMaxTexts) {
        return reply_(origin, Failed{ErrorCode::busy,
                                     "too many texts wait to become tokens; try again later"});
    }
    if (vocabulary_ && vocabulary_->hash == model.hash) return begin(origin, std::move(request));
    auto opened = [this, origin, request = std::move(request),
                   stopped = running_[origin].get_token()](std::shared_ptr<const OpenModel> open,
                                                           const std::string& error) mutable {
        if (stopped.stop_requested()) return;
        if (!open) {
            running_.erase(origin);
            return reply_(origin, Failed{ErrorCode::not_found, error});
        }
        vocabulary_ = std::move(open);
        begin(origin, std::move(request));
    };
    ports_.vocabulary(model, std::move(opened));
}

void Texts::begin(const Origin& origin, Request request) {
    running_[origin] = work_.post([this, &loop = loop_, origin, request = std::move(request),
                                   open = vocabulary_](const std::stop_token& stop) {
        Event event;
        try {
            event = answer_text(request, *open->tokenizer, stop);
        } catch (const std::exception& e) {
            event = Failed{ErrorCode::internal, e.what()};
        }
        loop.post([this, origin, event = std::move(event), stop] {
            if (stop.stop_requested()) return;
            running_.erase(origin);
            reply_(origin, event);
        });
    });
}

bool Texts::stop(const Origin& origin) {
    const auto it = running_.find(origin);
    if (it == running_.end()) return false;
    stop(it);
    return true;
}

}  // namespace shoal
