// A model of any content, and the folder that it comes to.
#pragma once

#include <sodium.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "daemon/model/split.hpp"
#include "daemon/pieces/arriving_model.hpp"
#include "tests/model/temporary_folder.hpp"

namespace shoal::tests {

inline std::vector<std::byte> noise(std::size_t bytes, unsigned seed) {
    std::vector<std::byte> out(bytes);
    std::uint32_t state = seed * 2654435761U + 1;
    for (std::byte& b : out) {
        state = state * 1664525U + 1013904223U;
        b = static_cast<std::byte>(state >> 24);
    }
    return out;
}

// A model of some files with any content, and a folder that it comes to.
struct ComingModel {
    TemporaryFolder models;
    std::vector<std::vector<std::byte>> files{noise(2 * piece_file::kChunk + 77, 1)};
    std::unique_ptr<ArrivingModel> coming;

    KnownModel model() const {
        KnownModel out;
        out.name = "llama";
        crypto_generichash_state state;
        crypto_generichash_init(&state, nullptr, 0, out.hash.bytes.size());
        for (const auto& file : files) {
            crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(file.data()),
                                      file.size());
            out.file_bytes += file.size();
        }
        crypto_generichash_final(&state, out.hash.bytes.data(), out.hash.bytes.size());
        return out;
    }
    void open() {
        coming.reset();
        coming = std::make_unique<ArrivingModel>(models.folder, model());
    }
    std::uint64_t begin(std::uint32_t number = 1) {
        return coming->begin(
            {number, static_cast<std::uint32_t>(files.size()), files.at(number - 1).size()});
    }
    std::uint64_t write(std::uint64_t at, std::uint32_t number = 1) {
        const auto& file = files.at(number - 1);
        return coming->write(at,
                             std::span(file).subspan(at, piece_file::chunk_bytes(file.size(), at)));
    }
    // All of it.
    void fill(std::uint32_t number = 1) {
        for (std::uint64_t at = begin(number); at != files.at(number - 1).size();) {
            at = write(at, number);
        }
    }
    std::filesystem::path hidden(std::uint32_t number = 1) const {
        return models.folder / model::arriving_name(model().hash.hex(), number);
    }
    static std::vector<std::byte> content(const std::filesystem::path& path) {
        std::ifstream in(path, std::ios::binary);
        const std::string text{std::istreambuf_iterator<char>(in), {}};
        const auto bytes = std::as_bytes(std::span(text));
        return {bytes.begin(), bytes.end()};
    }
    std::size_t entries() const {
        return static_cast<std::size_t>(
            std::distance(std::filesystem::directory_iterator(models.folder),
                          std::filesystem::directory_iterator()));
    }
};

}  // namespace shoal::tests
