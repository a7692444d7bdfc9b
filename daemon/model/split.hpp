// Models in several files: NAME-00001-of-00003.gguf and its like, as llama.cpp's gguf-split writes
// them. The first has the description; tensors are in all of them, or in all but that one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/model/gguf.hpp"

namespace shoal::model {

/// Of one model. Each is a descriptor as long as the model is open.
inline constexpr std::uint32_t kMaxParts = 1000;

/// What the name of a part says.
struct SplitName {
    std::string model;
    std::uint32_t part = 0;  ///< 1 is the first
    std::uint32_t parts = 0;

    std::string file(std::uint32_t part) const;
};
/// Nothing for a file that is called otherwise, or the only part.
std::optional<SplitName> split_name(const std::filesystem::path& file);

/// What a model is called: the file's name without ".gguf" and without which part it is.
std::string model_name(const std::filesystem::path& file);
/// The files of a model, the path of any of which is given, whether they are there or not.
std::vector<std::filesystem::path> model_files(const std::filesystem::path& file);

/// What a file is called in a folder of models while it comes from another device: `hash` (hex) is
/// the model's, `part` is 1 for the only file.
inline constexpr std::string_view kArriving = ".shoal-whole-";
std::string arriving_name(std::string_view hash, std::uint32_t part);

/// What is the same while all of these are. Of one it is that one.
FileStamp combined(const std::vector<FileStamp>& stamps) noexcept;

/// Throws ModelError when a header is not the part, 1 to `parts`, that its file's name says; with
/// one part, when it is that of a part.
void check_part(const GgufHeader& header, std::uint32_t part, std::uint32_t parts);

namespace split_keys {
inline constexpr std::string_view kNumber = "split.no";  ///< 0 is the first
inline constexpr std::string_view kCount = "split.count";
inline constexpr std::string_view kTensors = "split.tensors.count";  ///< of all parts
}  // namespace split_keys

}  // namespace shoal::model
