// Models in virtual time: every device that opens one gets the same, which is open already; a
// device without the file asks a holder for it, a few messages long.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "daemon/pieces/catalogue.hpp"
#include "daemon/pieces/model_provider.hpp"
#include "tests/daemon/simulation/stand_in_engine.hpp"
#include "tests/daemon/virtual_loop.hpp"

namespace shoal::tests::simulation {

/// A model file that devices may have.
struct ModelFile {
    std::shared_ptr<const OpenModel> open;
    CatalogueEntry entry;
};
/// Those of all simulations of this process.
const std::vector<ModelFile>& model_files();

class StandInModels final : public Models {
  public:
    struct Surroundings {
        Loop& loop;
        std::mt19937_64& random;
        Faults& faults;
        std::set<std::size_t>& disk;  ///< of model_files(); outlives a crash
    };
    StandInModels(Surroundings around, ModelProvider::Links links);

    void announce(mesh::messages::Announcement& announcement) const override;
    void locate(mesh::messages::ModelsReply&) const override {}
    bool holds(const mesh::ModelHash& hash) const override;
    void settle(std::function<void()> done) override { around_.loop.post(std::move(done)); }
    void add(std::string path, Added done) override;
    void get(Want want) override;
    void cancel(const void* owner) noexcept override;
    void on_piece_request(const mesh::DeviceId& from, std::uint64_t id,
                          const mesh::messages::PieceRequest& request) override;
    void on_piece_reply(const mesh::DeviceId& from, std::uint64_t id,
                        mesh::messages::PieceReply reply) override;

    bool idle() const noexcept { return wanted_.empty(); }

  private:
    struct Wanted {
        Want want;
        std::uint64_t number = 0;
        std::uint64_t received = 0;  // messages
        std::optional<mesh::DeviceId> asked;
        std::uint64_t request = 0;
        Loop::Time asked_at{};
        bool waits = false;  // for a holder, and said so
        Timer timer;
    };

    Loop::Clock::duration within(std::chrono::milliseconds most);
    void go_on(std::uint64_t number);
    void fetch(Wanted& wanted);
    void finish(std::uint64_t number, const std::shared_ptr<const OpenModel>& model,
                const std::string& error);
    std::list<Wanted>::iterator find(std::uint64_t number);

    const Surroundings around_;
    const ModelProvider::Links links_;
    std::list<Wanted> wanted_;
    std::vector<Timer> tasks_;
    std::uint64_t next_ = 1;
    bool reading_ = true;
    Timer read_;
};

}  // namespace shoal::tests::simulation
