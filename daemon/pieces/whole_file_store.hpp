// Whole files of models in the folder of models: those that come, and those that others want.
#pragma once

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "daemon/loop/loop.hpp"
#include "daemon/loop/worker.hpp"
#include "daemon/model/stable_file.hpp"
#include "daemon/pieces/arriving_model.hpp"
#include "daemon/pieces/catalogue.hpp"
#include "daemon/pieces/whole_files.hpp"

namespace shoal {

/// Owned by the control thread; what waits for a disk happens on a thread of its own.
class WholeFileStore final : public WholeFiles {
  public:
    /// A file that nobody has read for so long is closed: one that is removed keeps its room on the
    /// disk till then.
    static constexpr std::chrono::seconds kUnused{3};

    /// `folder` says where files are put, now.
    WholeFileStore(Loop& loop, Catalogue& catalogue, std::function<std::string()> folder);
    ~WholeFileStore() override;

    /// Looks for what was begun, and removes what nobody has gone on with for a month; now and
    /// every day from now on.
    void look();

    std::vector<mesh::ModelHash> begun() const override { return begun_; }
    void begin(const KnownModel& model, const FilePart& part, Done done) override;
    void write(std::uint64_t offset, std::vector<std::byte> bytes, Done done) override;
    void finish(Done done) override;
    void leave() override;
    void pause(bool busy) override;
    void read(const mesh::messages::FileRequest& request,
              std::function<void(mesh::messages::FileReply)> done) override;

  private:
    // A model's files that others read.
    struct Served {
        mesh::ModelHash hash;
        std::vector<std::unique_ptr<const model::StableFile>> files;
    };

    std::stop_source at_disk(Done done, std::function<std::uint64_t(const std::stop_token&)> work);
    bool go_on(const std::stop_token& stop);
    mesh::messages::FileReply answer(const mesh::messages::FileRequest& request);
    const Served& served(const mesh::ModelHash& hash);

    Loop& loop_;
    Catalogue& catalogue_;
    const std::function<std::string()> folder_;
    std::vector<mesh::ModelHash> begun_;
    mesh::ModelHash coming_;  // begun last
    std::stop_source beginning_{std::nostopstate};
    Timer looking_, unused_;
    std::mutex mutex_;
    std::condition_variable_any resumed_;
    bool paused_ = false;  // guarded by mutex_
    // The worker's own.
    std::unique_ptr<ArrivingModel> arriving_;
    std::unique_ptr<const Served> served_;
    Worker worker_{"model-whole"};  // last: it stops first
};

}  // namespace shoal
