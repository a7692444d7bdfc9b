// What this device is called: by its settings, else by whoever renamed it, else by its host.
#pragma once

#include <filesystem>
#include <string>

namespace shoal {

/// Owned by the control thread.
class DeviceName {
  public:
    /// `configured` empty: the settings give none. Throws std::runtime_error with the path when the
    /// name that was given cannot be read.
    DeviceName(const std::filesystem::path& state_dir, std::string configured, std::string host);

    const std::string& get() const noexcept;
    /// Gives it another one, which lasts. Why not, for a person; empty: it has it.
    std::string set(const std::string& name);

  private:
    const std::filesystem::path path_;
    const std::string configured_, host_;
    std::string given_;
};

}  // namespace shoal
