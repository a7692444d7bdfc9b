// pieces-seeds FOLDER: stored pieces, whole and damaged, and their names, for pieces_fuzz.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "daemon/pieces/piece_file.hpp"
#include "daemon/pieces/piece_store.hpp"

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: pieces-seeds FOLDER\n");
        return 2;
    }
    try {
        using namespace shoal;
        const std::filesystem::path folder = argv[1];
        const mesh::ModelHash hash;
        const model::Piece whole{"t.weight", 0, 4, 0, 8};
        PieceStore store(folder, hash, 0);
        const std::vector<std::byte> content(128, std::byte{1});
        store.write(whole, 0, content, content.size());
        store.write(std::nullopt, 0, content, content.size());
        const auto put = [&](const std::string& name, const std::string& bytes) {
            std::ofstream(folder / name, std::ios::binary | std::ios::trunc) << bytes;
        };
        for (const std::string& name : {piece_name(whole), std::string("header")}) {
            std::ifstream file(folder / hash.hex() / name, std::ios::binary);
            const std::string bytes{std::istreambuf_iterator<char>(file), {}};
            for (const std::size_t at : {0, 127, 128, 159}) {
                std::string damaged = bytes;
                damaged.at(at) = static_cast<char>(damaged[at] ^ 4);
                put(name + "-" + std::to_string(at), damaged);
                put(name + "-to-" + std::to_string(at), bytes.substr(0, at));
            }
            put(name + "-good", bytes);
        }
        put("name", piece_name(whole));
        put("numbers", "0-4@0-8");
    } catch (const std::exception& error) {
        std::fprintf(stderr, "pieces-seeds: %s\n", error.what());
        return 1;
    }
    return 0;
}
