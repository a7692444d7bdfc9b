// Fetching the pieces of a slice from the devices that hold the model's file.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/pieces/piece_store.hpp"
#include "mesh/messages/plan.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// One fetch: the header first, then the pieces that `wanted` names from it, chunk by chunk, some
/// requests at a time, spread over the holders. A state machine but for the store's disk, which it
/// waits for; owned by one thread, not the control thread.
class Fetcher {
  public:
    using Clock = std::chrono::steady_clock;

    /// Requests on their way at one time, and how long one may take before another holder is
    /// asked.
    static constexpr std::size_t kWindow = 4;
    static constexpr std::chrono::seconds kTimeout{10};
    /// How long a fetch lasts while nobody can be asked, and while nobody answers.
    static constexpr std::chrono::seconds kPatience{30};
    static constexpr std::chrono::seconds kSilence{120};

    struct Callbacks {
        /// Ask a holder; false when it cannot be reached now. Who learns of it later calls
        /// on_unsent().
        std::function<bool(const mesh::DeviceId& holder, const mesh::messages::PlanFrame&)> send;
        /// Devices that hold the file now.
        std::function<std::vector<mesh::DeviceId>()> holders;
        /// The pieces to fetch once the description is here; may throw to refuse the model.
        std::function<std::vector<model::Piece>(const OpenModel& described)> wanted;
        std::function<void(std::uint64_t done, std::uint64_t total)> progress;
        /// Called once; `error` is empty when every piece is here.
        std::function<void(std::string error)> done;
    };

    Fetcher(std::unique_ptr<PieceStore> store, const mesh::ModelHash& model,
            std::uint64_t file_bytes, Callbacks callbacks);

    /// Begin, and go on whenever there may be something to do. Nothing happens after done().
    void tick(Clock::time_point now);
    /// The answer to one of our requests; others are ignored.
    void on_reply(std::uint64_t id, const mesh::DeviceId& from, mesh::messages::PieceReply reply,
                  Clock::time_point now);
    /// A request did not leave after all: somebody else is asked with the next tick.
    void on_unsent(std::uint64_t id);

    const PieceStore& store() const noexcept { return *store_; }
    /// Nobody can be asked now.
    bool is_waiting() const noexcept { return stuck_since_.has_value(); }
    /// Frame ids are unique in the process, so that late answers to an earlier fetch are known.
    static std::uint64_t next_id() noexcept;

  private:
    // One piece, or the header, that is not complete yet.
    struct Item {
        std::optional<model::Piece> piece;  // nothing: the header
        std::uint64_t total = 0;            // bytes; 0: not known yet (header)
    };
    struct Chunk {
        std::size_t item = 0;
        std::uint64_t offset = 0;
        auto operator<=>(const Chunk&) const = default;
    };
    struct Asked {
        Chunk chunk;
        std::uint32_t bytes;
        mesh::DeviceId holder;
        Clock::time_point when;
    };

    void begin_header();
    void next_stage();
    bool describes(const std::function<void()>& describe);
    void queue(std::vector<model::Piece> pieces, const model::GgufHeader& header);
    void want(const Chunk& chunk);
    bool ask(const Chunk& chunk, Clock::time_point now);
    void give_up_on_the_slow(Clock::time_point now);
    bool take(const Asked& asked, mesh::messages::PieceReply reply);
    bool take_header(const Asked& asked, const mesh::messages::PieceReply& reply);
    bool refuse(const mesh::DeviceId& holder, const std::string& why);
    bool out_of_patience(Clock::time_point now);
    void forget_requests() noexcept;
    void finish(std::string error);

    std::unique_ptr<PieceStore> store_;
    const mesh::ModelHash model_;
    const std::uint64_t file_bytes_;
    const Callbacks callbacks_;
    std::vector<Item> items_;
    std::set<Chunk> missing_;   // of items_
    std::deque<Chunk> to_ask_;  // those of them that nobody was asked for, or in vain
    std::map<std::uint64_t, Asked> asked_;
    std::map<std::uint64_t, Asked> late_;  // asked again since; their answers still count
    std::size_t next_holder_ = 0;
    std::set<mesh::DeviceId> refused_;  // holders that answered with nonsense or an error
    std::string refusal_;               // the last one's
    std::optional<Clock::time_point> stuck_since_;
    std::optional<Clock::time_point> heard_;  // when somebody last answered, or the first was asked
    bool header_came_ = false;                // in this fetch, not an earlier one
    std::uint64_t done_bytes_ = 0;
    std::uint64_t total_bytes_ = 0;
    enum class Stage { header, first_pieces, pieces, finished } stage_ = Stage::header;
};

/// Answer a request for pieces of a file that this device holds.
mesh::messages::PieceReply answer_piece_request(const mesh::messages::PieceRequest& request,
                                                const model::WeightSource& source,
                                                std::span<const std::byte> header);

}  // namespace shoal
