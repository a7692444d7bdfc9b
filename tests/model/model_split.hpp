// Models in several files, as llama.cpp's gguf-split writes them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace shoal::tests {

/// Writes the model of a file as FOLDER/NAME-00001-of-0000N.gguf and so on, with as many tensors in
/// each, or none in the first. The files, in order. Throws ModelError.
std::vector<std::filesystem::path> split_model(const std::filesystem::path& from,
                                               const std::filesystem::path& folder,
                                               const std::string& name, std::uint32_t parts,
                                               bool tensors_in_first = true);

}  // namespace shoal::tests
