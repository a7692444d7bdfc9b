#include "daemon/requests/answers.hpp"

#include <exception>

namespace shoal {

using mesh::messages::ErrorCode;
using mesh::messages::Event;
using mesh::messages::Failed;

void Answers::begin(const Origin& origin, const std::function<void(RequestPorts::Opened)>& open,
                    Start start) {
    stop(origin);
    if (running_.size() >= kMaxPending) {
        return reply_(origin, Failed{ErrorCode::busy,
                                     "too many requests wait to be answered; try "
                                     "again later"});
    }
    open([this, origin, start = std::move(start), stopped = running_[origin].get_token()](
             std::shared_ptr<const OpenModel> model, const std::string& error) {
        if (stopped.stop_requested()) return;
        if (!model) return end(origin, stopped, Failed{ErrorCode::not_found, error});
        work(origin, start(std::move(model)));
    });
}

void Answers::work(const Origin& origin, Work work) {
    running_[origin] = by_.post(
        [this, &loop = loop_, origin, work = std::move(work)](const std::stop_token& stop) {
            if (stop.stop_requested()) return;
            Event event;
            try {
                event = work(stop);
            } catch (const std::exception& e) {
                event = Failed{ErrorCode::internal, e.what()};
            }
            loop.post([this, origin, event = std::move(event), stop] { end(origin, stop, event); });
        });
}

void Answers::end(const Origin& origin, const std::stop_token& stopped, const Event& event) {
    if (stopped.stop_requested()) return;
    running_.erase(origin);
    reply_(origin, event);
}

bool Answers::stop(const Origin& origin) {
    const auto it = running_.find(origin);
    if (it == running_.end()) return false;
    stop(it);
    return true;
}

}  // namespace shoal
