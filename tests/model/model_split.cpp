#include "tests/model/model_split.hpp"

#include <algorithm>

#include "daemon/model/gguf.hpp"
#include "daemon/model/gguf_writer.hpp"
#include "daemon/model/split.hpp"

namespace shoal::tests {

std::vector<std::filesystem::path> split_model(const std::filesystem::path& from,
                                               const std::filesystem::path& folder,
                                               const std::string& name, std::uint32_t parts,
                                               bool tensors_in_first) {
    using namespace model::split_keys;
    const model::GgufFile file(from);
    const auto& tensors = file.header().tensors();
    const std::uint32_t filled = tensors_in_first ? parts : parts - 1;
    const model::SplitName names{name, 1, parts};
    std::vector<std::filesystem::path> out;
    std::size_t next = 0;
    for (std::uint32_t part = 0; part < parts; ++part) {
        model::GgufWriter writer;
        if (part == 0) writer.copy_metadata(file);
        writer.set(std::string(kNumber), static_cast<std::uint16_t>(part));
        writer.set(std::string(kCount), static_cast<std::uint16_t>(parts));
        writer.set(std::string(kTensors), static_cast<std::int32_t>(tensors.size()));
        const std::size_t end = tensors.size() * (part + 1 - (parts - filled)) / filled;
        for (; next < end; ++next) {
            const model::TensorInfo& info = tensors[next];
            const auto fill = [&file, &info](std::uint64_t first, std::uint64_t,
                                             std::span<std::byte> bytes) {
                const model::GgufFile::Place at = file.place(info);
                at.file.read(at.begin + first * kernels::row_bytes(info.type, info.cols), bytes);
            };
            writer.add_tensor_rows(info.name, info.type, info.cols, info.rows, fill, info.matrices);
        }
        out.push_back(folder / names.file(part + 1));
        writer.write(out.back());
    }
    return out;
}

}  // namespace shoal::tests
