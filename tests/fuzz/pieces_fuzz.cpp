// The folder of stored pieces: whatever names and bytes lie there, what is not a piece that was
// stored is fetched again, and no name leads out of the folder.
#include <stdlib.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "daemon/pieces/piece_file.hpp"
#include "daemon/pieces/piece_store.hpp"

using namespace shoal;

namespace {

void check(bool fact) {
    if (!fact) std::abort();
}

std::filesystem::path scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "pieces-fuzz-XXXXXX").string();
    check(mkdtemp(name.data()) != nullptr);
    return name;
}

void put(const std::filesystem::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

void check_name(const std::string& name) {
    const auto piece = parse_piece_name(name);
    if (!piece) return;
    check(piece_name(*piece) == name);
    check(name.find('/') == std::string::npos && name.front() != '.');
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const std::filesystem::path folder = scratch();
    const std::string bytes(reinterpret_cast<const char*>(data), size);
    check_name(bytes);
    check_name("t.weight@" + bytes);

    const mesh::ModelHash hash;
    const model::TensorInfo info{"t.weight", kernels::DType::f32, 8, 4, 0, 128};
    const model::Piece whole = model::whole(info);
    const auto own = folder / hash.hex();
    std::filesystem::create_directories(own);
    put(own / piece_name(whole), bytes);
    put(own / (piece_name(whole) + ".part"), bytes);
    put(own / "header", bytes);
    const std::vector<std::byte> good(128, std::byte{1});
    {
        PieceStore store(folder, hash, 0);
        if (store.has_header()) {
            try {
                static_cast<void>(store.source(std::uint64_t{1} << 40));
            } catch (const model::ModelError&) {
            }
        }
        if (!store.missing(info, whole).empty()) store.write(whole, 0, good, good.size());
        check(store.missing(info, whole).empty());
    }
    check(PieceStore(folder, hash, 0).missing(info, whole).empty());
    // A header of these bytes, as a holder might send it.
    PieceStore store(folder, hash, 0);
    store.discard_header();
    if (!bytes.empty() && bytes.size() <= PieceStore::kChunk) {
        store.write(std::nullopt, 0, std::as_bytes(std::span(bytes)), bytes.size());
        check(store.has_header());
        try {
            static_cast<void>(store.open("fuzz", std::uint64_t{1} << 40, false));
        } catch (const model::ModelError&) {
        }
    }
    std::filesystem::remove_all(own);
    return 0;
}
