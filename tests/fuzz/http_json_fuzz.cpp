// Whatever comes as the body of a POST: parsing never crashes, what it accepts is valid for the
// HTTP door, and what it refuses has an error that is JSON itself.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "daemon/http/json_requests.hpp"

using namespace shoal::http;
using shoal::mesh::messages::Door;

namespace {

void check(const ApiError& error) {
    const bool whole = error.status >= 400 && error.status < 500 && !error.message.empty() &&
                       error.message.size() < 1000 && nlohmann::json::accept(error.json());
    if (!whole) std::abort();
}

template <typename T>
void check(const T& request) {
    if (validate(request, Door::http)) std::abort();
}
void check(const CompletionRequest& request) {
    const std::size_t choices = request.choices();
    if (choices == 0 || choices > kMaxChoices) std::abort();
    for (std::size_t i = 0; i < choices; ++i) check(request.choice(i));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view body(reinterpret_cast<const char*>(data), size);
    const auto see = [](const auto& value) { check(value); };
    std::visit(see, parse_completion(body));
    std::visit(see, parse_tokenize(body));
    std::visit(see, parse_detokenize(body));
    return 0;
}
