// Getting hold of a model: from this device's own files, or piece by piece from other devices.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/catalogue.hpp"
#include "daemon/control_loop.hpp"
#include "daemon/fetcher.hpp"
#include "daemon/plan_spec.hpp"
#include "daemon/worker.hpp"

namespace shoal {

/// Owned by the control thread.
class ModelProvider {
  public:
    struct Links {
        std::function<bool(const mesh::DeviceId&, const mesh::wire::PlanFrame&)> send;
        /// Other devices that hold the model's file.
        std::function<std::vector<mesh::DeviceId>(const mesh::ModelHash&)> holders;
    };

    struct Want {
        const void* owner = nullptr;  ///< who asks; for cancel()
        mesh::ModelHash hash;
        std::string name;
        std::uint64_t file_bytes = 0;
        bool tokenizer = false;
        /// The pieces needed, for a device without the file. May throw to refuse the model.
        std::function<std::vector<model::Piece>(const OpenModel& described)> pieces;
        std::function<void(std::uint64_t done, std::uint64_t total)> progress;
        /// Called once, later: the model or why there is none.
        std::function<void(std::shared_ptr<const OpenModel>, std::string error)> done;
        std::uint64_t asked_at = 0;  // set by get()
    };

    ModelProvider(ControlLoop& loop, Worker& worker, Catalogue& catalogue,
                  std::filesystem::path store_folder, Links links);

    void get(Want want);
    /// Give up what an owner asked for; nothing more of it is called.
    void cancel(const void* owner) noexcept;

    void tick();
    void on_piece_reply(const mesh::DeviceId& from, std::uint64_t id, mesh::wire::PieceReply reply);
    /// Answer another device's request from this device's files.
    void on_piece_request(const mesh::DeviceId& from, std::uint64_t id,
                          const mesh::wire::PieceRequest& request);

    /// The model as last opened from this device's own file, if it is still in use.
    std::shared_ptr<const OpenModel> opened(const mesh::ModelHash& hash) const noexcept;

  private:
    struct Fetch {
        Want want;
        std::unique_ptr<Fetcher> fetcher;  // null while another one fetches the same model
        bool finished = false;
        std::string error;
    };

    void open_file(Want want, const CatalogueEntry& entry);
    void begin_fetches();
    void begin(Fetch& fetch);
    void finish(Fetch& fetch);
    void deliver(Want want, std::shared_ptr<const OpenModel> model, std::string error);

    ControlLoop& loop_;
    Worker& worker_;
    Catalogue& catalogue_;
    const std::filesystem::path store_folder_;
    const Links links_;
    std::list<Fetch> fetches_;
    std::map<const void*, std::uint64_t> cancelled_;  // results of an earlier count are dropped
    std::weak_ptr<const OpenModel> opened_;
    std::shared_ptr<const OpenModel> serving_;  // whose pieces others ask for; the worker's own
};

}  // namespace shoal
