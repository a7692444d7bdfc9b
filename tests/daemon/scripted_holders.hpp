// Devices that hold a model's file and answer a fetch as a test wants.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/model/gguf.hpp"
#include "daemon/model/hparams.hpp"
#include "daemon/pieces/fetcher.hpp"
#include "daemon/shard/slice.hpp"

namespace shoal::tests {

/// A request on its way to a holder.
struct Asked {
    mesh::DeviceId holder;
    std::uint64_t id = 0;
    mesh::messages::PieceRequest request;
};

/// One model file, the requests that a fetch sends for its pieces, and a clock.
class ScriptedHolders {
  public:
    ScriptedHolders(const std::filesystem::path& model, std::filesystem::path store);

    /// Begins a fetch of a slice, as after a restart: nothing is kept but the store's files.
    void start(const shard::Slice& slice);
    void start(std::vector<model::Piece> pieces);
    Fetcher& fetcher() { return *fetcher_; }
    const PieceStore& store() const { return fetcher_->store(); }
    std::filesystem::path folder() const { return store_ / hash.hex(); }

    /// What an honest holder answers.
    mesh::messages::PieceReply answer(const Asked& asked) const;
    void reply(const Asked& asked, mesh::messages::PieceReply reply);
    /// Takes the oldest request that waits for an answer.
    Asked take();
    /// Answers everything honestly until the fetch is over or waits.
    void serve();
    void pass(std::chrono::milliseconds time);

    shard::Slice whole_slice() const;
    const model::FileSource& source() const { return source_; }
    const model::Hparams& hparams() const { return hparams_; }
    std::uint64_t file_bytes() const { return file_.bytes(); }

    std::vector<mesh::DeviceId> holders;
    std::function<bool(const mesh::DeviceId&)> reachable = [](const auto&) { return true; };
    mesh::ModelHash hash;
    std::deque<Asked> requests;  ///< not answered yet
    std::size_t sent = 0;        ///< requests of this fetch
    std::optional<std::string> done;
    std::uint64_t progress_done = 0, progress_total = 0;
    std::uint64_t memory = 0;         ///< that pieces may take when the disk does not
    std::uint64_t claimed_bytes = 0;  ///< what the fetch is told of the file's length

  private:
    const model::GgufFile file_;
    const model::FileSource source_;
    const model::Hparams hparams_;
    const std::filesystem::path store_;
    Fetcher::Clock::time_point now_ = Fetcher::Clock::now();
    std::unique_ptr<Fetcher> fetcher_;
};

}  // namespace shoal::tests
