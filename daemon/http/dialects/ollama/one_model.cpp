#include "daemon/http/dialects/ollama/one_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "daemon/http/json_output.hpp"

namespace shoal::http::ollama {
namespace {

using namespace mesh::messages;

/// Clients send both of "model" and "name", one of them empty.
Problem take_name(const std::string& name, const Json& value, OneModel& out) {
    if (value == "") return {};
    return take_model(name, value, out.model);
}

Problem skip_flag(const std::string& name, const Json& value, OneModel&) {
    return accept_bool(name, value);
}

/// What Ollama's own client always sends, mostly of nothing.
Problem take_nothing(const std::string& name, const Json& value, OneModel&) {
    if (value == "" || (value.is_object() && value.empty())) return {};
    return bad_field(name, fmt::format("{} is not supported; leave it out", name));
}

constexpr Field<OneModel> kNameFields[] = {
    {"model", take_name},
    {"name", take_name},
    {"verbose", skip_flag},
    {"insecure", skip_flag},
    {"stream", [](const auto& name, const Json& v, auto& m) { return take(name, v, m.stream); }},
    {"system", take_nothing},
    {"template", take_nothing},
    {"options", take_nothing},
    {"username", take_nothing},
    {"password", take_nothing},
};

/// The others that are general are texts, as the version "1".
constexpr std::string_view kGeneralNumbers[] = {"general.alignment", "general.file_type",
                                                "general.quantization_version"};

/// A value of a file's metadata, of which the text came: a number where it is one.
Json typed(const Metadata& entry) {
    const bool number = std::find(std::begin(kGeneralNumbers), std::end(kGeneralNumbers),
                                  entry.key) != std::end(kGeneralNumbers);
    if (entry.key.starts_with("general.") && !number) return entry.value;
    Json value = Json::parse(entry.value, nullptr, false);
    return value.is_number() || value.is_boolean() ? value : Json(entry.value);
}

Json model_info(const DescribeReply& reply) {
    Json out = Json::object();
    for (const Metadata& entry : reply.metadata) out[entry.key] = typed(entry);
    const std::string& family = reply.info.architecture;
    const auto put = [&](const char* key, std::uint64_t value) {
        if (value != 0) out[family + "." + key] = value;
    };
    out["general.architecture"] = family;
    out["general.parameter_count"] = reply.info.parameters;
    put("context_length", reply.info.context);
    put("block_count", reply.layers);
    put("embedding_length", reply.width);
    put("attention.head_count", reply.heads);
    put("attention.head_count_kv", reply.kv_heads);
    put("feed_forward_length", reply.ffn);
    put("vocab_size", reply.vocabulary);
    return out;
}

/// A model with a way to pool its vectors was made for these alone.
Json capabilities(const DescribeReply& reply, const Json& info) {
    if (info.contains(reply.info.architecture + ".pooling_type")) return Json::array({"embedding"});
    Json out = Json::array({"completion"});
    if (reply.calls_tools) out.push_back("tools");
    if (reply.fills_in) out.push_back("insert");
    if (reply.thinks) out.push_back("thinking");
    return out;
}

class Show : public ModelExchange {
  public:
    explicit Show(ModelName model) : ModelExchange(std::move(model)) {}

    Request request(std::size_t) const override { return DescribeRequest{model().wanted}; }
    Written event(std::size_t, const Event& event) override {
        const auto* reply = std::get_if<DescribeReply>(&event);
        if (reply == nullptr) return unexpected_event();
        Json info = model_info(*reply);
        Json can = capabilities(*reply, info);
        Json out = {{"modelfile", fmt::format("FROM {}\n", reply->info.name)},
                    {"parameters", ""},
                    {"template", reply->chat_template},
                    {"details", details(reply->info)},
                    {"model_info", std::move(info)},
                    {"capabilities", std::move(can)},
                    {"modified_at", kUnknownDate}};
        if (out["model_info"].contains("general.license")) {
            out["license"] = out["model_info"]["general.license"];
        }
        answer_ = {200, dump(out)};
        return {};
    }
    Answer end() override { return std::move(answer_); }

  private:
    Answer answer_;
};

/// What is here need not be fetched; what is not here is not fetched.
class Pull : public ModelExchange {
  public:
    explicit Pull(OneModel asked) : ModelExchange(asked.model), stream_(asked.stream) {}

    Request request(std::size_t) const override { return ModelsRequest{}; }
    Written event(std::size_t, const Event& event) override {
        const auto* reply = std::get_if<ModelsReply>(&event);
        if (reply == nullptr) return unexpected_event();
        for (const ModelInfo& m : reply->models) {
            const std::string& wanted = model().wanted;
            if (m.problem.empty() && (m.name == wanted || m.hash == wanted)) return {};
        }
        return told({404, "model_not_found",
                     "models are not downloaded; put the GGUF file into a model folder of a device "
                     "of the cluster",
                     "model"});
    }
    Answer end() override {
        const std::string body = dump({{"status", "success"}});
        if (stream_) return {200, body + "\n", false, kLinesType};
        return {200, body};
    }

  private:
    const bool stream_;
};

template <typename F>
Understood about_model(std::string_view body, F make) {
    auto parsed = parse_one_model(body);
    if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
    return make(std::get<0>(std::move(parsed)));
}

}  // namespace

std::variant<OneModel, ApiError> parse_one_model(std::string_view body) {
    Json object;
    if (auto problem = read_json(body, object)) return *std::move(problem);
    OneModel out;
    for (const auto& [name, value] : object.items()) {
        const auto* field = find_field(kNameFields, name);
        if (field == nullptr) return unknown_field(name);
        if (auto problem = take(*field, name, value, out)) return *std::move(problem);
    }
    if (out.model.wanted.empty()) return missing_field("model");
    const Request request = DescribeRequest{out.model.wanted};
    if (auto problem = refused(request)) return *std::move(problem);
    return out;
}

Understood show(const Call& call) {
    return about_model(call.body, [](OneModel asked) -> Understood {
        return std::make_unique<Show>(std::move(asked.model));
    });
}

Understood pull(const Call& call) {
    return about_model(call.body, [](OneModel asked) -> Understood {
        return std::make_unique<Pull>(std::move(asked));
    });
}

}  // namespace shoal::http::ollama
