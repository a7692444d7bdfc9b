#include <charconv>

#include "cli/doctor/facts.hpp"

namespace shoal::cli::doctor {
namespace {

/// The device that holds a file: of the longest mount point above it.
std::string device_of(const Tree& tree, const std::string& file) {
    if (file.starts_with("/dev/")) return file;
    std::string device, best;
    for (const std::string& line : lines(tree.text("/proc/mounts").value_or(""))) {
        const auto parts = words(line);
        if (parts.size() < 2) continue;
        const std::string folder = parts[1] == "/" ? "/" : parts[1] + '/';
        if (!file.starts_with(folder) || folder.size() < best.size()) continue;
        best = folder;
        device = parts[0];
    }
    return device;
}

std::vector<Memory::Swap> read_swaps(const Tree& tree) {
    std::vector<Memory::Swap> swaps;
    for (const std::string& line : lines(tree.text("/proc/swaps").value_or(""))) {
        const auto parts = words(line);
        if (parts.size() < 4) continue;
        const auto total = parse_number(parts[2]), used = parse_number(parts[3]);
        if (!total || !used) continue;  // the line of titles
        swaps.push_back({parts[0], *total * 1024, *used * 1024,
                         device_of(tree, parts[0]).starts_with("/dev/mmcblk")});
    }
    return swaps;
}

std::optional<std::uint64_t> kib(std::optional<std::uint64_t> value) {
    return value ? std::optional(*value * 1024) : std::nullopt;
}

}  // namespace

std::optional<double> read_pressure(const Tree& tree, std::string_view of) {
    constexpr std::string_view kMinute = "avg60=";
    const std::string text = tree.text("/proc/pressure/" + std::string(of)).value_or("");
    for (const std::string& word : words(text)) {
        if (!word.starts_with(kMinute)) continue;
        double value = 0;
        const auto result =
            std::from_chars(word.data() + kMinute.size(), word.data() + word.size(), value);
        // The first line is of "some"; the second, of "full", is not wanted.
        return result.ec == std::errc() ? std::optional(value) : std::nullopt;
    }
    return std::nullopt;
}

Memory read_memory(const Tree& tree) {
    Memory memory;
    memory.total_bytes = kib(tree.number_after("/proc/meminfo", "MemTotal:"));
    memory.available_bytes = kib(tree.number_after("/proc/meminfo", "MemAvailable:"));
    memory.killed = tree.number_after("/proc/vmstat", "oom_kill");
    memory.pressure = read_pressure(tree, "memory");
    memory.swaps = read_swaps(tree);
    // "always [madvise] never"
    const auto pages = tree.text("/sys/kernel/mm/transparent_hugepage/enabled");
    for (const std::string& word : words(pages.value_or(""))) {
        if (word.size() > 2 && word.front() == '[') {
            memory.huge_pages = word.substr(1, word.size() - 2);
        }
    }
    return memory;
}

}  // namespace shoal::cli::doctor
