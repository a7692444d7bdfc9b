// The root's side: what devices ask of it, this one included, until each is answered or refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/loop/loop.hpp"
#include "daemon/requests/answers.hpp"
#include "daemon/requests/replies.hpp"
#include "daemon/requests/request_ports.hpp"

namespace shoal {

/// Owned by the control thread. A request here is one of
///
///     unplaced   the name of its model is not known, yet; or this device does not lead, yet
///     a job      in the plan's queue, or running
///     a text     becomes tokens, or text
///     a forecast is made of plans
///
/// and ends with a final event to its origin, or without a word when the origin does not wait for
/// one: it was lost, has sent the request again, or sends it to another root.
class Desk {
  public:
    /// Requests that may wait for a model that no device is known to hold.
    static constexpr std::size_t kMaxUnplaced = 256;

    /// What this device's own requests are told goes to `own`. `texts` and `plans` do what takes
    /// long.
    Desk(Loop& loop, Background& texts, Background& plans, RequestPorts& ports,
         std::string default_model, const RequestPatience& patience,
         std::function<void(std::uint64_t id, const mesh::messages::Event&)> own);

    void set_default_model(std::string name) { default_model_ = std::move(name); }

    /// A request of another device.
    void on_request(const mesh::DeviceId& from, mesh::messages::RequestFrame frame);
    /// A request that is valid, instead of an earlier one of the origin.
    void take(const Origin& origin, mesh::messages::Request request);
    /// Takes a text whose model's file this device has, for which it need not lead; else false.
    [[nodiscard]] bool take_text(const Origin& origin, const mesh::messages::Request& request);
    /// Its final event comes soon, unless it has ended already.
    void cancel(const Origin& origin);

    void on_job_event(JobId job, const mesh::messages::Event& event);
    void on_root_changed(const std::optional<mesh::DeviceId>& root);
    void on_member_lost(const mesh::DeviceId& device);
    /// Requests that are not over, and ends that are owed.
    std::size_t pending() const noexcept {
        return unplaced_.size() + jobs_.size() + texts_.pending() + forecasts_.pending() +
               replies_.owed();
    }

  private:
    struct Unplaced {
        Origin origin;
        mesh::messages::Request request;
        Loop::Time since;
    };

    const std::string& name_in(const mesh::messages::Request& request) const;
    void place(Unplaced unplaced, const mesh::messages::ModelsReply& known);
    void look_again();
    void run(const Origin& origin, mesh::messages::Request request, const KnownModel& model);
    void answer_text(const Origin& origin, mesh::messages::Request request,
                     const KnownModel& model);
    void answer_plan(const Origin& origin, const mesh::messages::PlanRequest& request,
                     const KnownModel& model);
    void refuse(const Origin& origin, mesh::messages::ErrorCode code, std::string why);
    template <typename Predicate>
    void stop_if(const Predicate& of);

    Loop& loop_;
    RequestPorts& ports_;
    std::string default_model_;
    const RequestPatience patience_;
    std::optional<mesh::DeviceId> root_;
    Loop::Time changed_;  // when the root was elected, or a device was lost that may come back
    std::vector<Unplaced> unplaced_;
    Timer looking_;  // while something is unplaced
    std::map<JobId, Origin> jobs_;
    JobId next_job_ = 1;
    Replies replies_;
    Answers texts_, forecasts_;
    std::shared_ptr<const OpenModel> vocabulary_;  // the last one used
};

}  // namespace shoal
