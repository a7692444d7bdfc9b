// shoal key: the secret that makes devices one cluster.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/exit_codes.hpp"
#include "mesh/discovery/cluster_key.hpp"

namespace shoal::cli {
namespace {

void show(const Common& common, const std::string& file, const mesh::ClusterKey& key,
          const std::string& text) {
    Output output(-1);
    if (common.json) {
        const nlohmann::ordered_json json = {
            {"event", "key"}, {"file", file}, {"fingerprint", key.fingerprint()}};
        output.write(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n');
    } else {
        output.write(text);
    }
}

}  // namespace

int key_new(const Common& common, const std::string& file) {
    try {
        const mesh::ClusterKey key = mesh::generate_cluster_key();
        mesh::save_cluster_key(key, file);
        show(common, file, key,
             fmt::format("Wrote a new cluster key to {}.\n"
                         "Fingerprint: {}\n"
                         "Copy the file to every device of the cluster and to no other: whoever "
                         "has it is in.\n",
                         file, key.fingerprint()));
        return kOk;
    } catch (const std::runtime_error& error) {
        throw Error(kFailed, error.what());
    }
}

int key_fingerprint(const Common& common, const std::string& file) {
    try {
        const mesh::ClusterKey key = mesh::load_cluster_key(file);
        show(common, file, key, key.fingerprint() + "\n");
        return kOk;
    } catch (const std::runtime_error& error) {
        throw Error(kFailed, error.what());
    }
}

}  // namespace shoal::cli
