// The secret that makes devices one cluster.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::mesh {

/// 32 random bytes known to every device of a cluster and to nobody else.
struct ClusterKey {
    std::array<std::uint8_t, 32> secret{};

    /// The key that authenticates beacons.
    std::array<std::uint8_t, 32> beacon_key() const noexcept;
    /// A short public name of the cluster, "3f2a-91c0-77de": derived one-way, so it may be shown.
    std::string fingerprint() const;
    /// The key as people copy it: "shoal1-" and eight groups of seven letters and digits.
    std::string text() const;
    bool operator==(const ClusterKey&) const = default;
};

/// Throws std::runtime_error when the random generator cannot be started.
ClusterKey generate_cluster_key();

/// Reads text() in either case, with or without the dashes, O for 0 and I or L for 1.
/// Nothing when it is not a key or when its checksum shows a typing mistake; `why` says which.
std::optional<ClusterKey> parse_cluster_key(std::string_view text, std::string& why);

/// A file holds at most so many keys: the cluster's, and behind it those that it had before.
inline constexpr std::size_t kMaxKeysInFile = 4;

/// The keys of a file's text, as of load_cluster_keys(); at least one.
/// Throws std::runtime_error with the path when there is none, or one that is damaged.
std::vector<ClusterKey> read_cluster_keys(const std::string& text,
                                          const std::filesystem::path& path);

/// Reads a file of keys, one a line; empty lines and lines that start with # are skipped.
/// A file that everybody may read, or that others than its owner may write, is refused: whoever
/// knows the key is in the cluster. The group may read it.
/// Throws std::runtime_error with the path and what to do.
std::vector<ClusterKey> load_cluster_keys(const std::filesystem::path& path);
/// The first of them: the cluster's.
ClusterKey load_cluster_key(const std::filesystem::path& path);

/// The key of a file, which is made (mode 0600) when there is none: `made` says so.
/// Throws as load_cluster_key() and save_cluster_key().
ClusterKey load_or_make_cluster_key(const std::filesystem::path& path, bool& made);

/// Writes keys to a file in place of those that it has, whose mode stays; or to a new one.
/// Throws std::runtime_error with the path when it cannot be written.
void replace_cluster_keys(std::span<const ClusterKey> keys, const std::filesystem::path& path);

/// Writes the key to a new file of mode 0600.
/// Throws std::runtime_error when the file exists already or cannot be written.
void save_cluster_key(const ClusterKey& key, const std::filesystem::path& path);

}  // namespace shoal::mesh
