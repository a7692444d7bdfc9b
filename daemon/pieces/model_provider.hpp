// Getting hold of a model: from this device's own files, or piece by piece from other devices.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "daemon/loop/loop.hpp"
#include "daemon/loop/worker.hpp"
#include "daemon/pieces/catalogue.hpp"
#include "daemon/pieces/fetcher.hpp"
#include "daemon/pieces/folder_watch.hpp"
#include "daemon/pieces/models.hpp"
#include "mesh/messages/warning.hpp"

namespace shoal {

/// Owned by the control thread. What waits for a disk happens on two threads of its own: one opens
/// files and reads pieces for others, one fetches and stores.
class ModelProvider final : public Models {
  public:
    struct Links {
        mesh::DeviceId self;
        std::function<bool(const mesh::DeviceId&, const mesh::messages::PlanFrame&)> send;
        /// Other devices that hold the model's file.
        std::function<std::vector<mesh::DeviceId>(const mesh::ModelHash&)> holders;
        std::function<void(mesh::messages::Warning)> warn;
        /// What a warning of this device said is over.
        std::function<void(const std::string& name)> unwarn;
        std::function<void()> catalogue_changed;
        /// Bytes of memory that fetched pieces may take when the disk does not. Any thread.
        std::function<std::uint64_t()> spare_memory;
    };

    /// `background` reads files for their hashes.
    ModelProvider(Loop& loop, Background& background, Catalogue& catalogue,
                  std::filesystem::path store_folder, Links links);

    /// Looks through these folders for models, now and whenever something happens there, and not
    /// through those of an earlier call any more. A model that was found there is known as long as
    /// its file is there.
    void watch(std::vector<std::string> directories);
    /// Readable when something has happened in the folders; then hear() looks. -1: never.
    int descriptor() const noexcept { return folders_.descriptor(); }
    void hear();

    void announce(mesh::messages::Announcement& announcement) const override;
    void locate(mesh::messages::ModelsReply& list) const override;
    bool holds(const mesh::ModelHash& hash) const override;
    void settle(std::function<void()> done) override;
    void add(std::string path, Added done) override;
    void get(Want want) override;
    void cancel(const void* owner) noexcept override;
    void on_piece_request(const mesh::DeviceId& from, std::uint64_t id,
                          const mesh::messages::PieceRequest& request) override;
    void on_piece_reply(const mesh::DeviceId& from, std::uint64_t id,
                        mesh::messages::PieceReply reply) override;

  private:
    // What the fetching thread has of a fetch.
    struct Running {
        std::unique_ptr<Fetcher> fetcher;
        std::vector<mesh::DeviceId> holders;
        std::string trouble;  // the name of the warning raised last
        bool waiting = false;
    };
    struct Fetch {
        std::uint64_t id = 0;
        Want want;
        std::string lost;  // why the file that this device had is of no use; empty: it had none
        std::shared_ptr<Running> running;  // null while another one fetches the same model
        std::set<std::uint64_t> asked;     // requests that may be answered
        bool ticking = false;              // a tick is on its way to the fetching thread
    };

    // What a look through the folders brought.
    struct Looked {
        FolderWatch::Watches watches;
        Scan scan;
        std::string store;  // the first folder, without links
    };
    void scan();
    void scanned(std::uint64_t watch, Looked looked);
    void open_file(Want want, const CatalogueEntry& entry);
    std::shared_ptr<const OpenModel> open_again(const CatalogueEntry& entry);
    void file_failed(const CatalogueEntry& entry, const std::string& why);
    void read_again(const CatalogueEntry& entry);
    void fetch(Want want, std::string lost);
    void look_soon();
    void look();
    void begin_fetches();
    void begin(Fetch& fetch);
    Fetcher::Callbacks callbacks(std::uint64_t id, Running& running, const Want& want);
    void open_pieces(std::uint64_t id, Running& running, const Want& want, std::string error);
    void send_for(std::uint64_t id, const mesh::DeviceId& holder,
                  const mesh::messages::PlanFrame& frame);
    void look_at(std::uint64_t id, Running& running);
    Fetch* find(std::uint64_t id) noexcept;
    void finish(std::uint64_t id, const std::shared_ptr<const OpenModel>& model,
                const std::string& error);
    void deliver(Want want, std::shared_ptr<const OpenModel> model, std::string error);

    Loop& loop_;
    Background& background_;
    Catalogue& catalogue_;
    const std::filesystem::path store_folder_;
    const Links links_;
    FolderWatch folders_;
    std::vector<std::string> directories_;
    std::string store_;
    std::uint64_t watches_ = 0;  // calls of watch()
    bool first_scan_ = false;    // the folders are looked through for the first time
    bool scanning_ = false, scan_again_ = false;
    bool long_scan_ = false;  // so long that others should know
    std::string trouble_;     // why nothing is heard of folders, as it was last logged
    std::vector<std::function<void()>> settling_;
    Timer rescan_, long_scan_due_, looking_;
    std::list<Fetch> fetches_;
    std::uint64_t next_fetch_ = 1;
    std::map<const void*, std::uint64_t> cancelled_;  // results of an earlier count are dropped
    // The reading thread's own: what was opened last, and what others ask pieces of.
    std::weak_ptr<const OpenModel> opened_;
    model::FileStamp opened_stamp_;
    std::shared_ptr<const std::atomic<bool>> failed_;
    std::shared_ptr<const OpenModel> serving_;
    Worker reading_{"model-files"};  // the last two: they stop first
    Worker fetching_{"model-fetch"};
};

}  // namespace shoal
