// Requests of every door on their way to the root and events on their way back.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "daemon/loop/loop.hpp"
#include "daemon/requests/attached.hpp"
#include "daemon/requests/desk.hpp"
#include "daemon/requests/request_ports.hpp"
#include "daemon/requests/service.hpp"

namespace shoal {

/// A device's two sides of a request: what its clients ask, and what is asked of it as the root. A
/// device that leads is both to its own clients. start() and cancel() may be called by any thread;
/// all else by the control thread.
class RequestRouter final : public http::Service {
  public:
    /// `texts` and `plans` do what takes long; what they run may be over after this object, but not
    /// after `loop`.
    RequestRouter(Loop& loop, Background& texts, Background& plans, RequestPorts& ports,
                  std::string default_model, const RequestPatience& patience = {})
        : desk_(loop, texts, plans, ports, std::move(default_model), patience,
                [this](std::uint64_t id, const mesh::messages::Event& event) {
                    attached_.deliver(id, event);
                }),
          attached_(loop, ports, desk_, patience) {}

    Ticket start(mesh::messages::Request request, mesh::messages::Door door, Sink sink) override {
        return attached_.start(std::move(request), door, std::move(sink));
    }
    void cancel(Ticket ticket) noexcept override { attached_.cancel(ticket); }

    void set_default_model(std::string name) { desk_.set_default_model(std::move(name)); }

    void on_request(const mesh::DeviceId& from, mesh::messages::RequestFrame frame) {
        desk_.on_request(from, std::move(frame));
    }
    void on_event(const mesh::DeviceId& from, const mesh::messages::EventFrame& frame) {
        attached_.on_event(from, frame);
    }
    void on_job_event(JobId job, const mesh::messages::Event& event) {
        desk_.on_job_event(job, event);
    }
    // The desk first: what the attached side then asks of it is new.
    void on_root_changed(const std::optional<mesh::DeviceId>& root) {
        desk_.on_root_changed(root);
        attached_.on_root_changed(root);
    }
    void on_member_lost(const mesh::DeviceId& device) {
        desk_.on_member_lost(device);
        attached_.on_member_lost(device);
    }

    /// Records of requests that are not over, those of others included.
    std::size_t pending() const noexcept { return attached_.pending() + desk_.pending(); }
    /// Of this device's clients. Thread-safe.
    RequestMeter::Reading figures() const { return attached_.figures(); }

  private:
    Desk desk_;
    Attached attached_;
};

}  // namespace shoal
