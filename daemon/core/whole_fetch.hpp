// Fetches files of models from other devices while nothing is computed, and gives them to others.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "daemon/loop/loop.hpp"
#include "daemon/pieces/whole_files.hpp"
#include "mesh/messages/plan.hpp"
#include "mesh/messages/warning.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// One model at a time, one request on its way, and after each a rest as long as it took. Nothing
/// is asked for, and nothing given, while this device computes, loads or measures, nor just after.
/// Owned by the control thread.
class WholeFetch {
  public:
    /// After the last thing computed, and before a busy holder is asked again.
    static constexpr std::chrono::milliseconds kQuiet{2000};
    /// How often what is wanted is looked at.
    static constexpr std::chrono::milliseconds kLook{1000};
    /// A holder that has not answered by then, or not well, is not asked for the pause.
    static constexpr std::chrono::seconds kTimeout{30}, kPause{60};
    /// What the disk does not take is tried again after this.
    static constexpr std::chrono::hours kAgain{1};

    struct Links {
        mesh::DeviceId self;
        /// Models whose files are worth having, the most urgent first; none that is here.
        std::function<std::vector<KnownModel>()> wanted;
        /// Other devices that have a model's file.
        std::function<std::vector<mesh::DeviceId>(const mesh::ModelHash&)> holders;
        std::function<bool()> busy;                ///< this device has something better to do
        std::function<std::uint64_t()> exchanges;  ///< as Effort::exchanges
        std::function<bool(const mesh::DeviceId&, const mesh::messages::PlanFrame&)> send;
        /// How far it is, or why it does not come on; nothing: nothing is fetched.
        std::function<void(std::optional<mesh::messages::Warning>)> tell;
    };

    /// `files` null: this device fetches nothing and gives nothing.
    WholeFetch(Loop& loop, WholeFiles* files, Links links)
        : loop_(loop), files_(files), links_(std::move(links)) {}

    void start();
    void on_request(const mesh::DeviceId& from, std::uint64_t id,
                    const mesh::messages::FileRequest& request);
    void on_reply(const mesh::DeviceId& from, std::uint64_t id, mesh::messages::FileReply reply);

  private:
    struct Asked {
        std::uint64_t id = 0;
        mesh::DeviceId holder;
        Loop::Time when;
        std::uint32_t bytes = 0;  // 0: how long the part is
    };

    bool quiet();
    void look();
    void leave();
    void ask();
    void store(mesh::messages::FileReply reply);
    void next_part();
    void give_up(const FileTrouble& trouble);
    void tell();
    template <typename Next>
    WholeFiles::Done of_this(Next next);

    Loop& loop_;
    WholeFiles* const files_;
    const Links links_;

    std::uint64_t exchanges_ = 0;
    Loop::Time busy_at_{};
    std::optional<KnownModel> model_;  // that is being fetched
    std::uint64_t visit_ = 0;          // to a model: answers of an earlier one are dropped
    FilePart part_;
    bool begun_ = false;          // the part is
    std::uint64_t here_ = 0;      // of the part
    std::uint64_t before_ = 0;    // bytes of the parts before
    std::optional<Asked> asked_;  // and not answered
    bool storing_ = false;
    std::uint64_t next_id_ = 1;
    std::size_t next_holder_ = 0;
    std::map<mesh::DeviceId, Loop::Time> pauses_;     // of holders, until then
    std::map<mesh::ModelHash, Loop::Time> given_up_;  // until then
    Timer looking_, resting_;
};

}  // namespace shoal
