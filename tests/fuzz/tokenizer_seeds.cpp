// tokenizer-seeds FOLDER: texts of many kinds for every vocabulary of the tokenizer's fuzz target.
// The same files every time.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include "daemon/model/tokenizer/pre_tokenizer_rules.hpp"

namespace {

void write(const std::filesystem::path& path, const std::string& bytes) {
    std::ofstream out(path, std::ios::binary);
    out << bytes;
    if (!out.flush()) throw std::runtime_error("cannot write " + path.string());
}

std::string repeated(const std::string& unit, std::size_t times) {
    std::string text;
    for (; times > 0; --times) text += unit;
    return text;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: tokenizer-seeds FOLDER\n");
        return 2;
    }
    const std::string texts[] = {
        "",
        "low  lower 1234 don't\r\n\n",
        "<|x|>low<|x|><|y|> aab<|x",
        "café 你好 😁\xCC\x81 ▁▁low",
        "\xFF\xE4\xBD a\xC3 b\xF0\x9F\x98",
        repeated("a", 70'000),   // longer than what is merged at one time
        repeated("aab", 7'000),  // longer than what is searched at one time
        repeated(" ", 5'000) + "x",
    };
    try {
        const std::filesystem::path folder = argv[1];
        std::filesystem::create_directories(folder);
        const std::size_t kinds = shoal::model::pre_tokenizer_names().size() + 2;
        for (std::size_t kind = 0; kind < kinds; ++kind) {
            for (std::size_t i = 0; i < std::size(texts); ++i) {
                const char head[] = {static_cast<char>(kind), static_cast<char>(kind + i), 9};
                write(folder / (std::to_string(kind) + "-" + std::to_string(i)),
                      std::string(head, sizeof head) + texts[i]);
            }
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "tokenizer-seeds: %s\n", error.what());
        return 1;
    }
    return 0;
}
