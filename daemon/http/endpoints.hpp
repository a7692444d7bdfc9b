// What is served: which method and path mean what, in which dialect.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "daemon/http/exchange.hpp"

namespace shoal::http {

/// A GET is also a HEAD. POSTs have a JSON body, the others have none.
enum class Method { get, post, del };

struct Endpoint {
    Method method = Method::get;
    std::string_view path;  ///< one that ends in '/' goes on with a name
    const Dialect* dialect = nullptr;
    Understand understand = nullptr;
    bool open = false;  ///< needs no API key
    /// Clients of this API do not say that their bodies are JSON.
    bool any_type = false;
};

struct Refusal {
    ApiError error;
    std::string allow;  ///< of a 405: the methods that the path has
    const Dialect* dialect = nullptr;
};

struct Route {
    const Endpoint* endpoint = nullptr;
    std::string name;  ///< what the path goes on with
};

/// The endpoint, or 404 for an unknown path and 405 for a method that it does not have.
std::variant<Route, Refusal> route(std::string_view method, std::string_view path);

}  // namespace shoal::http
