#include "daemon/links/link_thread.hpp"

#include <malloc.h>

#include <exception>
#include <future>
#include <utility>

namespace shoal {

LinkThread::LinkThread(Loop& loop, const MakeDataPlane& make) : loop_(loop) {
    std::promise<void> made;
    thread_.post([&] {
        try {
            data_plane_ = make();
            port_ = data_plane_->port();
            made.set_value();
        } catch (...) {
            made.set_exception(std::current_exception());
        }
    });
    made.get_future().get();
}

LinkThread::~LinkThread() {
    stop();
    std::promise<void> gone;
    thread_.post([&] {
        data_plane_.reset();
        gone.set_value();
    });
    gone.get_future().get();
}

void LinkThread::test(LinkTestSpec spec, std::function<void(const LinkTestOutcome&)> done) {
    stop();
    stop_ = thread_.post(Background::Task([this, &loop = loop_, spec = std::move(spec),
                                           done = std::move(done)](const std::stop_token& token) {
        LinkTestOutcome outcome = run(spec, token);
        malloc_trim(0);  // Its buffers are megabytes, for once in half an hour.
        loop.post([done, outcome = std::move(outcome), token] {
            if (!token.stop_requested()) done(outcome);
        });
    }));
}

LinkTestOutcome LinkThread::run(const LinkTestSpec& spec, const std::stop_token& stop) {
    LinkTestOutcome out;
    if (stop.stop_requested()) return out;
    try {
        mesh::JoinOptions options;
        options.timeout = kJoin;
        options.silence_limit = kSilence;
        const mesh::JoinResult joined =
            data_plane_->join(spec.id, spec.rank, spec.peers, options, stop);
        if (joined.status != mesh::ExchangeStatus::ok) {
            out.error =
                joined.why.what.empty() ? "the devices do not reach each other" : joined.why.what;
            return out;
        }
        LinkMeasurement measured = measure_link(*joined.exchange);
        out.figures = measured.figures;
        out.error = std::move(measured.error);
        for (const mesh::LinkReport& link : data_plane_->links()) {
            out.transport = link.transport;
            out.cipher = link.cipher;
        }
    } catch (const std::exception& e) {
        out.figures.reset();
        out.error = e.what();
    }
    return out;
}

}  // namespace shoal
