// The models' names, and requests about one.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "daemon/http/dialects/ollama/ollama.hpp"
#include "daemon/http/json_fields.hpp"

namespace shoal::http::ollama {

/// "tiny:latest" is "tiny" of a list of ours; other tags are part of a name.
std::string without_tag(std::string_view name);
/// As Ollama lists a model: with a tag.
std::string with_tag(std::string_view name);

/// As a request names it.
struct ModelName {
    std::string shown;   ///< as the client wrote it
    std::string wanted;  ///< by the service
};
Problem take_model(const std::string& name, const Json& value, ModelName& out);

/// {"format", "family", "parameter_size", ...}
Json details(const mesh::messages::ModelInfo& info);

/// There are no dates of models' files; programs parse what stands here.
inline constexpr char kUnknownDate[] = "1970-01-01T00:00:00Z";

/// An exchange about one model, which may not be there.
class ModelExchange : public Exchange {
  public:
    Answer refuse(const ApiError& error) override { return Exchange::refuse(told(error)); }
    std::string break_off(const ApiError& error) override {
        return Exchange::break_off(told(error));
    }

  protected:
    explicit ModelExchange(ModelName model) : Exchange(kDialect), model_(std::move(model)) {}

    const ModelName& model() const noexcept { return model_; }
    /// As programs look for it in Ollama's errors: `model "x" not found`
    ApiError told(const ApiError& error) const;

  private:
    const ModelName model_;
};

}  // namespace shoal::http::ollama
