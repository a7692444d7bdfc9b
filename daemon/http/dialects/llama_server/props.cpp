// GET /props and /slots: the server and its model, as far as programs choose by it.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "daemon/http/dialects/llama_server/completion.hpp"
#include "daemon/http/dialects/llama_server/llama_server.hpp"
#include "daemon/http/dialects/openai/openai.hpp"
#include "daemon/http/json_output.hpp"

namespace shoal::http::llama_server {
namespace {

using namespace mesh::messages;

/// That are listed, whatever a root says.
constexpr std::uint32_t kMostSlots = 1024;

/// Of the loaded model, or the only one there is.
class Props : public Exchange {
  public:
    Props() : Exchange(openai::kDialect) {}

    std::size_t parts() const noexcept override { return 2; }
    Request request(std::size_t part) const override {
        if (part == 0) return DescribeRequest{};
        return StatusRequest{};
    }
    Written event(std::size_t, const Event& event) override {
        if (const auto* model = std::get_if<DescribeReply>(&event)) {
            model_ = *model;
        } else if (const auto* status = std::get_if<StatusReply>(&event)) {
            version_ = status->version;
            loaded_hash_ = status->model_hash;
            loaded_context_ = status->context;
            slots_ = std::min(status->parallel, kMostSlots);
        } else {
            return unexpected_event();
        }
        return {};
    }
    Answer end() override {
        // A loaded model has the context that fits the devices' memory.
        const bool loaded = !loaded_hash_.empty() && loaded_hash_ == model_.info.hash;
        const std::uint32_t context = loaded ? loaded_context_ : model_.info.context;
        return {200, dump({{"default_generation_settings",
                            {{"params", settings_of({})}, {"n_ctx", context}}},
                           {"total_slots", slots_},
                           {"model_alias", model_.info.name},
                           {"model_path", model_.info.name + ".gguf"},
                           {"chat_template", model_.chat_template},
                           {"bos_token", model_.bos},
                           {"eos_token", model_.eos},
                           {"modalities", {{"vision", false}, {"audio", false}}},
                           {"build_info", "shoal " + version_}})};
    }

  private:
    DescribeReply model_;
    std::string version_, loaded_hash_;
    std::uint32_t loaded_context_ = 0, slots_ = 0;
};

class Slots : public Exchange {
  public:
    Slots() : Exchange(openai::kDialect) {}

    Request request(std::size_t) const override { return StatusRequest{}; }
    Written event(std::size_t, const Event& event) override {
        const auto* status = std::get_if<StatusReply>(&event);
        if (status == nullptr) return unexpected_event();
        for (std::uint32_t i = 0; i < std::min(status->parallel, kMostSlots); ++i) {
            list_.push_back({{"id", i},
                             {"n_ctx", status->context},
                             {"speculative", false},
                             {"is_processing", i < status->running}});
        }
        return {};
    }
    Answer end() override { return {200, dump(list_)}; }

  private:
    Json list_ = Json::array();
};

}  // namespace

Understood props(const Call&) {
    return std::make_unique<Props>();
}

Understood slots(const Call&) {
    return std::make_unique<Slots>();
}

}  // namespace shoal::http::llama_server
