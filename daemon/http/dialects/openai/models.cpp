// GET /v1/models, and one of them.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/http/dialects/openai/openai.hpp"
#include "daemon/http/json_output.hpp"

namespace shoal::http::openai {
namespace {

using namespace mesh::messages;

/// OpenAI's members, then ours, then the names under which clients of other servers look for the
/// context.
Json model_entry(const ModelInfo& m) {
    return {
        {"id", m.name},
        {"object", "model"},
        {"created", 0},
        {"owned_by", "shoal"},
        {"hash", m.hash},
        {"architecture", m.architecture},
        {"quantisation", m.quantisation},
        {"file_bytes", m.file_bytes},
        {"parameters", m.parameters},
        {"context", m.context},
        {"loaded", m.loaded},
        {"devices", m.devices},
        {"context_length", m.context},
        {"max_model_len", m.context},
        {"meta", {{"n_ctx_train", m.context}, {"n_params", m.parameters}, {"size", m.file_bytes}}}};
}

Answer model_list(const ModelsReply& reply) {
    Json data = Json::array();
    for (const ModelInfo& m : reply.models) {
        // Programs choose from the list.
        if (m.problem.empty()) data.push_back(model_entry(m));
    }
    return {200, dump({{"object", "list"}, {"data", std::move(data)}})};
}

Answer model_called(const ModelsReply& reply, const std::string& name) {
    for (const ModelInfo& m : reply.models) {
        if (m.name == name || m.hash == name || m.name + ".gguf" == name) {
            return {200, dump(model_entry(m))};
        }
    }
    return refusal(
        api_error({ErrorCode::not_found,
                   fmt::format("no device of the cluster holds a model called \"{}\"; GET "
                               "/v1/models lists those there are",
                               name.substr(0, kQuotedBytes))}));
}

class Models : public Exchange {
  public:
    /// `name`: of the one wanted; empty: all.
    explicit Models(std::string_view name) : Exchange(kDialect), name_(name) {}

    Request request(std::size_t) const override { return ModelsRequest{}; }
    Written event(std::size_t, const Event& event) override {
        const auto* reply = std::get_if<ModelsReply>(&event);
        if (reply == nullptr) return unexpected_event();
        answer_ = name_.empty() ? model_list(*reply) : model_called(*reply, name_);
        return {};
    }
    Answer end() override { return std::move(answer_); }

  private:
    const std::string name_;
    Answer answer_;
};

}  // namespace

Understood models(const Call&) {
    return std::make_unique<Models>(std::string_view());
}

Understood model(const Call& call) {
    return std::make_unique<Models>(call.name);
}

}  // namespace shoal::http::openai
