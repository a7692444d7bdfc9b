// Names of files at Hugging Face, as its pages and other programs have them:
// hf.co/OWNER/REPOSITORY/FILE.
#pragma once

#include <string>
#include <string_view>

namespace shoal::cli {

/// True for what begins as such a name does, without http:// or https://.
bool is_hub_name(std::string_view text) noexcept;

/// The address of the file: on the main branch, unless a revision is named as addresses have it
/// (OWNER/REPOSITORY/resolve/REVISION/FILE). Requires: is_hub_name(name).
/// Throws Error(kUsage) when it names no file.
std::string hub_address(const std::string& name);

}  // namespace shoal::cli
