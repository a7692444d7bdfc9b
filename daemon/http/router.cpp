#include "daemon/http/router.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace shoal::http {
namespace {

struct Path {
    std::string_view path;
    Endpoint endpoint;
};

constexpr std::array kPaths{
    Path{"/v1/completions", Endpoint::completions},
    Path{"/tokenize", Endpoint::tokenize},
    Path{"/detokenize", Endpoint::detokenize},
    Path{"/v1/models", Endpoint::models},
    Path{"/health", Endpoint::health},
    Path{"/v1/cluster", Endpoint::cluster},
};
/// What goes on with a model's name. libmicrohttpd has decoded %2F and the like.
constexpr std::string_view kModelPrefix = "/v1/models/";

}  // namespace

std::variant<Endpoint, Refusal> route(std::string_view method, std::string_view path) {
    const auto* found = std::find_if(kPaths.begin(), kPaths.end(),
                                     [&](const Path& entry) { return entry.path == path; });
    const Path one{path, Endpoint::model};
    if (path.starts_with(kModelPrefix) && path.size() > kModelPrefix.size()) found = &one;
    if (found == kPaths.end()) {
        std::string known;
        for (const Path& entry : kPaths) known += fmt::format(" {}", entry.path);
        known += fmt::format(" {}NAME", kModelPrefix);
        return Refusal{{404,
                        "not_found",
                        fmt::format("there is no \"{}\" here; there is{}",
                                    path.substr(0, kQuotedBytes), known),
                        {}},
                       {}};
    }
    const bool post = has_body(found->endpoint);
    if (post ? method == "POST" : method == "GET" || method == "HEAD") return found->endpoint;
    const char* allow = post ? "POST" : "GET, HEAD";
    return Refusal{{405,
                    "method_not_allowed",
                    fmt::format("{} takes {}, not {}", path.substr(0, kQuotedBytes), allow,
                                method.substr(0, kQuotedBytes)),
                    {}},
                   allow};
}

std::string model_in_path(std::string_view path) {
    return std::string(path.substr(kModelPrefix.size()));
}

}  // namespace shoal::http
