// Real vocabularies with known answers, where the reference folder is present.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "tests/tokenizer/small_vocabulary.hpp"

namespace shoal::model::reference_test {
namespace {

namespace fs = std::filesystem;

/// Empty, after a message, when SHOAL_REFERENCE is unset.
fs::path reference() {
    const char* folder = std::getenv("SHOAL_REFERENCE");
    if (folder != nullptr) return folder;
    MESSAGE("skipped: SHOAL_REFERENCE names no folder of reference models and vocabularies");
    return {};
}

std::string read(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    REQUIRE_MESSAGE(in, path.string());
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

std::vector<std::string> split(const std::string& text, const std::string& separator) {
    std::vector<std::string> parts;
    std::size_t at = 0;
    for (std::size_t end; (end = text.find(separator, at)) != std::string::npos;
         at = end + separator.size()) {
        parts.push_back(text.substr(at, end - at));
    }
    if (at < text.size()) parts.push_back(text.substr(at));
    return parts;
}

std::vector<TokenId> read_ids(const std::string& line) {
    std::istringstream in(line);
    std::vector<TokenId> ids;
    for (TokenId id; in >> id;) ids.push_back(id);
    return ids;
}

std::vector<fs::path> files(const fs::path& folder, const std::string& extension) {
    std::vector<fs::path> found;
    if (folder.empty()) return found;
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (entry.path().extension() == extension) found.push_back(entry.path());
    }
    std::sort(found.begin(), found.end());
    return found;
}

std::vector<fs::path> vocabularies() {
    const fs::path root = reference();
    return root.empty() ? std::vector<fs::path>() : files(root / "vocabs", ".gguf");
}

std::unique_ptr<Tokenizer> open(const fs::path& path) {
    return Tokenizer::from_header(GgufFile(path).header());
}

TEST_SUITE("reference vocabularies") {
    TEST_CASE("every case of every vocabulary gives the known ids") {
        for (const fs::path& path : vocabularies()) {
            CAPTURE(path.filename().string());
            const auto tokenizer = open(path);
            CHECK(tokenizer->warning().empty());
            const auto inputs = split(read(path.string() + ".inp"), "\n__ggml_vocab_test__\n");
            auto lines = split(read(path.string() + ".out"), "\n");
            REQUIRE(inputs.size() == 46);
            REQUIRE(lines.size() == inputs.size());
            for (std::size_t i = 0; i < inputs.size(); ++i) {
                CAPTURE(i);
                CAPTURE(inputs[i]);
                CHECK(tokenizer->encode(inputs[i], kPlain) == read_ids(lines[i]));
            }
        }
    }

    TEST_CASE("the prompts of the golden runs give the known ids") {
        const fs::path root = reference();
        if (root.empty()) return;
        std::size_t prompts = 0;
        for (const fs::path& path : files(root / "golden", ".json")) {
            CAPTURE(path.filename().string());
            const auto golden = nlohmann::json::parse(read(path));
            const auto tokenizer = open(root / "models" / golden.at("model").get<std::string>());
            for (const auto& run : golden.at("runs")) {
                const auto prompt = run.at("prompt").get<std::string>();
                CAPTURE(prompt);
                CHECK(tokenizer->encode(prompt, {}) ==
                      run.at("prompt_ids").get<std::vector<TokenId>>());
                Detokenizer detokenizer(*tokenizer, true);  // Made of the generated ids alone.
                std::string text;
                for (const auto id : run.at("generated_ids").get<std::vector<TokenId>>()) {
                    text += detokenizer.push(id);
                }
                text += detokenizer.flush();
                CHECK(text == run.at("generated_text").get<std::string>());
                ++prompts;
            }
        }
        CHECK(prompts > 0);
    }

    TEST_CASE("what is encoded decodes to itself") {
        for (const fs::path& path : vocabularies()) {
            CAPTURE(path.filename().string());
            const auto tokenizer = open(path);
            std::string text;
            for (const auto& input : split(read(path.string() + ".inp"), "__ggml_vocab_test__")) {
                text += input;
            }
            const auto ids = tokenizer->encode(text, kPlain);
            std::string decoded;
            Detokenizer detokenizer(*tokenizer, true);
            for (const TokenId id : ids) decoded += detokenizer.push(id);
            decoded += detokenizer.flush();
            CHECK(decoded == text);
        }
    }

    TEST_CASE("a long text of anything takes time in proportion") {
        constexpr std::size_t kSize = std::size_t{1} << 18;
        const auto repeat = [](std::string_view unit) {
            std::string text;
            while (text.size() + unit.size() <= kSize) text += unit;
            return text;
        };
        std::mt19937 random(7);
        std::string noise(kSize, '\0');
        for (char& c : noise) c = static_cast<char>(random() & 0xFF);
        const std::pair<std::string, std::string> texts[] = {
            {"one letter", repeat("a")},
            {"one capital", repeat("A")},
            {"spaces", repeat(" ") + "x"},
            {"newlines", repeat("\n") + "x"},
            {"mixed blanks", repeat("  \t \n") + "x"},
            {"digits", repeat("1234567890")},
            {"punctuation", repeat("!?-")},
            {"apostrophes", repeat("'")},
            {"emoji", repeat("👨‍👩‍👧")},
            {"Chinese", repeat("中文字")},
            {"marks", repeat("a\xCC\x81")},
            {"invalid UTF-8", repeat("\xFF\xC0")},
            {"noise", noise},
            {"prose", repeat("The quick brown fox doesn't jump over 13 lazy dogs.\n")},
        };
        for (const fs::path& path : vocabularies()) {
            // One of each kind is enough, and the smallest and the largest at that.
            const std::string stem = path.stem().string();
            if (stem != "ggml-vocab-llama-spm" && stem != "ggml-vocab-qwen2") continue;
            CAPTURE(stem);
            const auto tokenizer = open(path);
            for (const auto& entry : texts) {
                const std::string& name = entry.first;
                const std::string& text = entry.second;
                CAPTURE(name);
                const auto start = std::chrono::steady_clock::now();
                const auto ids = tokenizer->encode(text, {});
                const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
                CHECK_FALSE(ids.empty());
                // Quadratic work on this much takes minutes; slow, busy and emulated machines get
                // slack. SHOAL_TIMES=1 prints the figures.
                CHECK(took.count() < 30.0);
                if (std::getenv("SHOAL_TIMES") != nullptr) {
                    MESSAGE(stem << ", " << name << ": " << took.count() * 1e3 << " ms, "
                                 << ids.size() << " tokens");
                }
            }
        }
    }
}

}  // namespace
}  // namespace shoal::model::reference_test
