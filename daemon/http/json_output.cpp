#include "daemon/http/json_output.hpp"

#include <nlohmann/json.hpp>

namespace shoal::http {

std::string dump(const Json& value) {
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace shoal::http
