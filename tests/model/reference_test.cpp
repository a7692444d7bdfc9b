// Model files that others made.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

#include "daemon/model/gguf.hpp"
#include "daemon/model/hparams.hpp"

namespace shoal::model::reference_test {
namespace {

/// Empty, after a message, when SHOAL_REFERENCE is unset.
std::filesystem::path reference() {
    if (const char* folder = std::getenv("SHOAL_REFERENCE")) return folder;
    MESSAGE("skipped: SHOAL_REFERENCE names no folder of reference models");
    return {};
}

struct Expected {
    const char* architecture;
    std::uint32_t dim, n_heads, n_kv_heads, n_ff;
    const char* quantisation;
};

}  // namespace

TEST_SUITE("reference models") {
    TEST_CASE("their descriptions are read") {
        const auto folder = reference();
        if (folder.empty()) return;
        const std::map<std::string, Expected> models = {
            {"stories260K-f32", {"llama", 64, 8, 4, 172, "F32"}},
            {"stories260K-f16", {"llama", 64, 8, 4, 172, "F16"}},
            {"stories260K-ff192-q4_0", {"llama", 64, 8, 4, 192, "Q4_0"}},
            {"stories260K-ff192-q8_0", {"llama", 64, 8, 4, 192, "Q8_0"}},
            {"stories260K-qwen2-f32", {"qwen2", 64, 8, 4, 172, "F32"}},
            {"stories260K-w256-q4_k_m", {"llama", 256, 32, 16, 256, "Q4_K_M"}},
            {"stories260K-w256-q6_k", {"llama", 256, 32, 16, 256, "Q6_K"}},
            {"stories260K-w256-q8_0", {"llama", 256, 32, 16, 256, "Q8_0"}},
        };
        for (const auto& [key, expected] : models) {
            const std::string name = key;
            CAPTURE(name);
            const GgufFile file(folder / "models" / (name + ".gguf"));
            const Hparams h = read_hparams(file);
            CHECK(h.architecture == expected.architecture);
            CHECK(h.n_layers == 5);
            CHECK(h.dim == expected.dim);
            CHECK(h.n_heads == expected.n_heads);
            CHECK(h.n_kv_heads == expected.n_kv_heads);
            CHECK(h.head_dim == 8);
            CHECK(h.n_ff == expected.n_ff);
            CHECK(h.n_vocab == 512);
            CHECK(h.n_context == 512);
            CHECK(h.qkv_bias == (h.architecture == "qwen2"));
            CHECK_FALSE(h.tied_output);
            CHECK(quantisation_name(file.header()) == expected.quantisation);
        }
    }

    TEST_CASE("vocabularies without a model parse, and say that there are no weights") {
        const auto folder = reference();
        if (folder.empty()) return;
        std::size_t files = 0;
        for (const auto& entry : std::filesystem::directory_iterator(folder / "vocabs")) {
            if (entry.path().extension() != ".gguf") continue;
            ++files;
            const GgufFile file(entry.path());
            CHECK(file.header().tensors().empty());
            CHECK(file.header().find_array("tokenizer.ggml.tokens") != nullptr);
            CHECK_THROWS_AS(read_hparams(file), ModelError);
        }
        CHECK(files > 0);
    }
}

}  // namespace shoal::model::reference_test
