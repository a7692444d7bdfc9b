// One seed's run: devices, what happens to them, requests meanwhile, and what must be true of it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/daemon/simulation/world.hpp"

namespace shoal::tests::simulation {

/// A request of a client, and what came of it.
struct Asked {
    std::size_t device = 0;
    std::uint64_t life = 0;
    std::optional<Loop::Time> begun;
    mesh::messages::Request request;
    std::size_t model = 0;
    http::Service::Ticket ticket = 0;
    bool cancelled = false;
    std::vector<mesh::messages::Event> events{};
    bool over = false;
    std::optional<mesh::Term> term{};  ///< in which its latest token came
    bool unheld = false;  ///< it failed, and meanwhile a root heard of no holder of its model
};

class Scenario {
  public:
    Scenario(std::uint64_t seed, Coverage& coverage, bool verbose);

    /// What went wrong; nothing: all was well.
    std::vector<std::string> run();

  private:
    void make_devices();
    void plan_requests();
    void plan_disturbances();
    void disturb();
    void disturb_engine(std::size_t device);
    void disturb_network();
    void disturb_messages();
    void overtake();
    void restart_later(std::size_t device);
    void heal();

    void ask();
    void ask(std::size_t device, mesh::messages::Request request, std::size_t model,
             bool cancelled_later);
    void on_event(Asked& asked, const mesh::messages::Event& event);
    void count_moves(Asked& asked, const mesh::messages::Token& token);
    void look_for_holders();
    void note_holders();
    bool held(std::size_t root, std::size_t model);
    bool waiting() const;

    void check_plans();
    void check_stories();
    void check(const Asked& asked);
    bool excused(const Asked& asked, const mesh::messages::Failed& failed);
    void check_cluster();
    void check_nobody_left_out();
    void check_nothing_left();
    std::vector<std::string> what_is_left();
    void wrong(const std::string& what);
    std::string name(const Asked& asked) const;

    World world_;
    std::vector<std::unique_ptr<Asked>> asked_;
    std::vector<std::string> wrong_;
    std::set<std::size_t> split_;  // one side of a network cut in two
    std::set<std::pair<std::size_t, std::size_t>> cut_;
    std::set<std::size_t> small_;  // devices without memory for a part
    bool everywhere_ = true;       // every device has every file
    // By device and model: when it was last no root, or one that saw a holder.
    std::map<std::pair<std::size_t, std::size_t>, Loop::Time> seen_;
    std::map<std::size_t, Loop::Time> unheld_;  // when a root last had seen no holder for long
    std::uint32_t faults_ = 0;                  // of engines
    std::uint32_t disturbances_ = 0;            // of all kinds
    bool healed_ = false;
};

}  // namespace shoal::tests::simulation
