#include "daemon/http/dialects/ollama/models.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "daemon/http/dialects/ollama/timings.hpp"
#include "daemon/http/json_output.hpp"

namespace shoal::http::ollama {
namespace {

using namespace mesh::messages;

constexpr std::string_view kTag = ":latest";
/// A model in memory stays until another is asked for.
constexpr char kNeverExpires[] = "2318-01-01T00:00:00Z";

/// "8.0B", "135M"
std::string rounded(std::uint64_t parameters) {
    const auto count = static_cast<double>(parameters);
    if (count >= 1e12) return fmt::format("{:.1f}T", count / 1e12);
    if (count >= 1e9) return fmt::format("{:.1f}B", count / 1e9);
    if (count >= 1e6) return fmt::format("{:.2f}M", count / 1e6);
    if (count >= 1e3) return fmt::format("{:.0f}K", count / 1e3);
    return fmt::format("{}", parameters);
}

Json entry(const ModelInfo& m) {
    const std::string name = with_tag(m.name);
    return {{"name", name},
            {"model", name},
            {"size", m.file_bytes},
            {"digest", m.hash},
            {"details", details(m)}};
}

class Models : public Exchange {
  public:
    Models() : Exchange(kDialect) {}

    Request request(std::size_t) const override { return ModelsRequest{}; }
    Written event(std::size_t, const Event& event) override {
        const auto* reply = std::get_if<ModelsReply>(&event);
        if (reply == nullptr) return unexpected_event();
        for (const ModelInfo& m : reply->models) {
            if (m.problem.empty()) add(m);
        }
        return {};
    }
    Answer end() override { return {200, dump({{"models", std::move(list_)}})}; }

  protected:
    Json list_ = Json::array();

  private:
    virtual void add(const ModelInfo& m) = 0;
};

class Tags : public Models {
    void add(const ModelInfo& m) override {
        Json one = entry(m);
        one["modified_at"] = kUnknownDate;
        one["details"]["context_length"] = m.context;
        list_.push_back(std::move(one));
    }
};

// What the models are, then how they stay.
class Loaded : public Models {
  public:
    std::size_t parts() const noexcept override { return 2; }
    Request request(std::size_t part) const override {
        if (part == 0) return ModelsRequest{};
        return StatusRequest{};
    }
    Written event(std::size_t part, const Event& event) override {
        if (part == 0) return Models::event(part, event);
        const auto* status = std::get_if<StatusReply>(&event);
        if (status == nullptr) return unexpected_event();
        loaded_ = status->loaded;
        return {};
    }
    Answer end() override {
        for (Json& one : list_) {
            const auto it = std::ranges::find_if(
                loaded_, [&](const LoadedModel& l) { return one["digest"] == l.hash; });
            if (it == loaded_.end()) continue;
            one["context_length"] = it->context;
            one["size"] = it->weight_bytes + it->kv_bytes;
            if (it->unloads_after >= 0) one["expires_at"] = timestamp_in(it->unloads_after);
        }
        return Models::end();
    }

  private:
    void add(const ModelInfo& m) override {
        if (!m.loaded) return;
        Json one = entry(m);
        one["expires_at"] = kNeverExpires;
        one["size_vram"] = 0;  // CPUs compute.
        one["context_length"] = m.context;
        list_.push_back(std::move(one));
    }

    std::vector<LoadedModel> loaded_;
};

}  // namespace

std::string without_tag(std::string_view name) {
    if (name.ends_with(kTag)) name.remove_suffix(kTag.size());
    return std::string(name);
}

std::string with_tag(std::string_view name) {
    const bool tagged = name.find(':') != std::string_view::npos;
    return std::string(name).append(tagged ? std::string_view() : kTag);
}

Problem take_model(const std::string& name, const Json& value, ModelName& out) {
    if (auto problem = take(name, value, out.shown)) return problem;
    out.wanted = without_tag(out.shown);
    return {};
}

Json details(const ModelInfo& info) {
    return {{"parent_model", ""},
            {"format", "gguf"},
            {"family", info.architecture},
            {"families", Json::array({info.architecture})},
            {"parameter_size", rounded(info.parameters)},
            {"quantization_level", info.quantisation}};
}

ApiError ModelExchange::told(const ApiError& error) const {
    if (error.code != "model_not_found") return error;
    ApiError out = error;
    out.message = fmt::format("model \"{}\" not found: {}", model_.shown.substr(0, kQuotedBytes),
                              error.message);
    return out;
}

Understood running(const Call&) {
    return std::make_unique<KnownAnswer>(
        kDialect, Answer{200, "Ollama is running", false, "text/plain; charset=utf-8"});
}

Understood version(const Call&) {
    return std::make_unique<KnownAnswer>(kDialect, Answer{200, dump({{"version", kApiVersion}})});
}

Understood tags(const Call&) {
    return std::make_unique<Tags>();
}

Understood ps(const Call&) {
    return std::make_unique<Loaded>();
}

Understood change_models(const Call&) {
    return ApiError{501,
                    "not_supported",
                    "models are not changed over this API; put GGUF files into a model folder of a "
                    "device, or take them out of it",
                    {}};
}

}  // namespace shoal::http::ollama
