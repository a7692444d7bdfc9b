#include "daemon/requests/near_names.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace near_names_test {

using shoal::near_names;
using Names = std::vector<std::string>;

TEST_SUITE("near_names") {
    TEST_CASE("names a few letters away are found, the nearest first, each once") {
        const Names names{"stories", "stories-2", "Llama-3.2-1B-Q4_K_M", "qwen3", "stories"};
        CHECK(near_names("storie", names) == Names{"stories", "stories-2"});
        CHECK(near_names("sotries", names) == Names{"stories"});
        CHECK(near_names("QWEN3", names) == Names{"qwen3"});
        CHECK(near_names("llama", names) == Names{"Llama-3.2-1B-Q4_K_M"});
        CHECK(near_names("gpt-oss", names).empty());
        CHECK(near_names("", names).empty());
        CHECK(near_names("x", Names{"y", ""}).empty());
    }

    TEST_CASE("three are enough, and long names are no work") {
        Names names;
        for (char c = 'a'; c <= 'z'; ++c) names.push_back(std::string("model-") + c);
        CHECK(near_names("model-1", names) == Names{"model-a", "model-b", "model-c"});
        CHECK(near_names(std::string(4096, 'a'), Names(1000, std::string(4096, 'b'))).empty());
    }
}

}  // namespace near_names_test
