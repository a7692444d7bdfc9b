// Files of a model on their way into a folder: whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace shoal::cli {

enum class Transfer : std::uint8_t { copy, move, link };

/// Owned by one thread.
class Arrival {
  public:
    /// Told while bytes are copied; may throw to stop.
    using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

    explicit Arrival(std::filesystem::path folder) : folder_(std::move(folder)) {}
    /// What was brought and not kept is taken back.
    ~Arrival();
    Arrival(const Arrival&) = delete;
    Arrival& operator=(const Arrival&) = delete;

    /// Brings files under their names, and none of them if one cannot be. Bytes are shared with the
    /// source where the file system can, else copied beside the name and renamed. Throws Error with
    /// what is in the way.
    void bring(const std::vector<std::filesystem::path>& files, Transfer how,
               const Progress& progress);
    /// Gives a file that is in the folder already its name. Throws Error likewise.
    void adopt(const std::filesystem::path& file, const std::string& name);
    /// As they are in the folder, in the same order.
    const std::vector<std::filesystem::path>& brought() const noexcept { return brought_; }

    /// They stay. Sources that were to be moved go. Throws Error when one cannot.
    void keep();

  private:
    void bring(const std::filesystem::path& from, Transfer how, const Progress& progress,
               std::uint64_t before, std::uint64_t total);
    void copy(const std::filesystem::path& from, const std::filesystem::path& to,
              const Progress& progress, std::uint64_t before, std::uint64_t total);

    const std::filesystem::path folder_;
    std::vector<std::filesystem::path> brought_;
    std::vector<std::pair<std::filesystem::path, std::filesystem::path>> renamed_;  // from, to
    std::vector<std::filesystem::path> sources_;  // that go when the copies are kept
    bool kept_ = false;
};

/// Throws Error when something has this path.
void refuse_if_there(const std::filesystem::path& path);

/// Removes what an earlier `bring` left that was killed in the middle of it.
void remove_leftovers(const std::filesystem::path& folder) noexcept;

}  // namespace shoal::cli
