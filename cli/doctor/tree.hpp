// Files of a system below a root folder, which tests replace.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::cli::doctor {

/// Reads small files. What is missing, cannot be read or is none of what is asked for is nothing.
class Tree {
  public:
    static constexpr std::size_t kMaxFileBytes = 64u << 10;

    explicit Tree(std::filesystem::path root = "/") : root_(std::move(root)) {}

    /// Where a path of the system lies: "/proc/meminfo" or "proc/meminfo".
    std::filesystem::path at(std::string_view path) const;
    bool exists(std::string_view path) const;
    /// The first bytes of a file, without white space at its end.
    std::optional<std::string> text(std::string_view path, std::size_t limit = kMaxFileBytes) const;
    std::optional<std::uint64_t> number(std::string_view path) const;
    /// The number behind a word that begins a line: "MemTotal:", "oom_kill".
    std::optional<std::uint64_t> number_after(std::string_view path, std::string_view word) const;
    /// Names in a folder, sorted.
    std::vector<std::string> names(std::string_view folder) const;

    /// The system itself, not a copy of its files.
    bool is_system() const { return root_ == "/"; }

  private:
    std::filesystem::path root_;
};

/// The words of a text, between white space.
std::vector<std::string> words(std::string_view text);
std::vector<std::string> lines(std::string_view text);
/// A whole decimal number, or with "0x" a hexadecimal one.
std::optional<std::uint64_t> parse_number(std::string_view text);

}  // namespace shoal::cli::doctor
