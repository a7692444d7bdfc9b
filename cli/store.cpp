#include "cli/store.hpp"

#include <nlohmann/json.hpp>

namespace shoal::cli {
namespace {

using StoreJson = nlohmann::ordered_json;

std::string text_of(const StoreJson& json) {
    return json.dump(-1, ' ', false, StoreJson::error_handler_t::replace) + '\n';
}

}  // namespace

mesh::messages::ModelsReply known_models(Session& session) {
    const auto final = session.inquire(mesh::messages::ModelsRequest{});
    if (!final) throw Stopped();
    return Session::expect<mesh::messages::ModelsReply>(*final);
}

std::string json_added(const Added& added) {
    StoreJson json{{"event", "added"},
                   {"name", added.name},
                   {"path", added.path},
                   {"bytes", added.bytes},
                   {"fits", added.context != 0}};
    if (added.context != 0) json["context"] = added.context;
    if (!added.why.empty()) json["why"] = added.why;
    return text_of(json);
}

std::string json_removed(const std::string& name, const std::string& path) {
    return text_of({{"event", "removed"}, {"name", name}, {"path", path}});
}

}  // namespace shoal::cli
