#include "cli/download.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "cli/exit_codes.hpp"

namespace download_test {

using namespace shoal::cli;

namespace {

std::string only_address(const std::string& what) {
    const std::vector<WebFile> files = files_at(what);
    REQUIRE(files.size() == 1);
    return files.front().address;
}

std::string refusal(const std::string& what) {
    try {
        static_cast<void>(files_at(what));
    } catch (const Error& error) {
        CHECK(error.code() == kUsage);
        return error.what();
    }
    return "";
}

}  // namespace

TEST_SUITE("download") {
    TEST_CASE("a file's name at the hub stands for its address on the main branch") {
        const std::string address = "https://huggingface.co/bob/Llama-GGUF/resolve/main/llama.gguf";
        CHECK(is_address("hf.co/bob/Llama-GGUF/llama.gguf"));
        CHECK_FALSE(is_address("hf.company/bob/llama.gguf"));
        CHECK_FALSE(is_address("./hf.co/bob/Llama-GGUF/llama.gguf"));
        CHECK(only_address("hf.co/bob/Llama-GGUF/llama.gguf") == address);
        CHECK(only_address("huggingface.co/bob/Llama-GGUF/llama.gguf") == address);
        // With a revision, as addresses without their beginning have it.
        CHECK(only_address("hf.co/bob/Llama-GGUF/blob/main/llama.gguf") == address);
        CHECK(only_address("hf.co/bob/Llama-GGUF/resolve/v2/llama.gguf") ==
              "https://huggingface.co/bob/Llama-GGUF/resolve/v2/llama.gguf");
        const auto parts = files_at("hf.co/bob/Big/Q4/big-00002-of-00003.gguf");
        REQUIRE(parts.size() == 3);
        CHECK(parts[2].address ==
              "https://huggingface.co/bob/Big/resolve/main/Q4/big-00003-of-00003.gguf");
        CHECK(parts[2].name == "big-00003-of-00003.gguf");
        // What has a scheme says what it means.
        CHECK(only_address("https://hf.co/bob/Llama-GGUF/llama.gguf") ==
              "https://hf.co/bob/Llama-GGUF/llama.gguf");
    }

    TEST_CASE("a name at the hub that is no file's is refused with what to write") {
        for (const char* what : {"hf.co/", "hf.co/bob", "hf.co/bob/Llama-GGUF", "hf.co/bob/Llama/",
                                 "hf.co/bob/Llama-GGUF:Q4_K_M"}) {
            CAPTURE(what);
            CHECK(refusal(what).find("hf.co/OWNER/REPOSITORY/FILE.gguf") != std::string::npos);
        }
        CHECK(refusal("hf.co/bob/Llama/model.safetensors").find("ends with .gguf") !=
              std::string::npos);
    }
}

}  // namespace download_test
