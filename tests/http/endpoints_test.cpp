#include "daemon/http/endpoints.hpp"

#include <doctest/doctest.h>

#include <string>
#include <variant>

namespace shoal::http::endpoints_test {
namespace {

Route found(std::string_view method, std::string_view path) {
    auto routed = route(method, path);
    REQUIRE(std::holds_alternative<Route>(routed));
    return std::get<Route>(routed);
}
Refusal refused_of(std::string_view method, std::string_view path) {
    auto routed = route(method, path);
    REQUIRE(std::holds_alternative<Refusal>(routed));
    return std::get<Refusal>(routed);
}

}  // namespace

TEST_SUITE("endpoints") {
    TEST_CASE("a path means what its row says, by the methods that it has") {
        for (const char* path : {"/v1/chat/completions", "/v1/completions", "/v1/responses",
                                 "/v1/embeddings", "/tokenize", "/detokenize"}) {
            CHECK(found("POST", path).endpoint->method == Method::post);
            CHECK(found("POST", path).endpoint->path == path);
        }
        for (const char* path : {"/v1/models", "/health", "/v1/cluster"}) {
            CHECK(found("GET", path).endpoint->path == path);
        }
        CHECK(found("HEAD", "/v1/models").endpoint->method == Method::get);
        CHECK(found("HEAD", "/v1/models").name.empty());
        CHECK(found("GET", "/v1/models/org/tiny").name == "org/tiny");
        CHECK(found("DELETE", "/v1/responses/resp_1").endpoint->method == Method::del);
        CHECK(found("GET", "/v1/responses/resp_1").endpoint->method == Method::get);
    }

    TEST_CASE("only the page's files and whether all is well may be asked for without a key") {
        CHECK(found("GET", "/health").endpoint->open);
        CHECK(found("GET", "/").endpoint->open);
        CHECK(found("GET", "/page/page.js").name == "page.js");
        CHECK(found("GET", "/page/page.js").endpoint->open);
        CHECK_FALSE(found("GET", "/v1/cluster").endpoint->open);
        CHECK_FALSE(found("GET", "/v1/models").endpoint->open);
    }

    TEST_CASE("another method is told which there are, and an unknown path which paths") {
        const Refusal method = refused_of("PUT", "/v1/responses/resp_1");
        CHECK(method.error.status == 405);
        CHECK(method.allow == "GET, HEAD, DELETE");
        CHECK(method.dialect != nullptr);
        CHECK(refused_of("GET", "/v1/completions").allow == "POST");
        CHECK(refused_of("POST", "/v1/models/a").allow == "GET, HEAD");
        CHECK(refused_of("get", "/health").error.status == 405);
        CHECK(refused_of("OPTIONS", "/v1/completions").error.status == 405);
        for (const char* unknown :
             {"", "/v1", "/health/", "/HEALTH", "/v1/completions/x", "*", "/v1/models/"}) {
            CHECK(refused_of("GET", unknown).error.status == 404);
        }
        const Refusal path = refused_of("GET", "/v1/models/");
        CHECK(path.error.status == 404);
        CHECK(path.allow.empty());
        CHECK(path.dialect != nullptr);
        const auto at = path.error.message.find(" /v1/responses/NAME");
        CHECK(at != std::string::npos);
        CHECK(path.error.message.find(" /v1/responses/NAME", at + 1) == std::string::npos);
    }
}

}  // namespace shoal::http::endpoints_test
