#include <sys/statvfs.h>

#include <algorithm>

#include "cli/doctor/facts.hpp"

namespace shoal::cli::doctor {
namespace {

void add_folder(const Tree& tree, const std::string& path, std::vector<Disk::Folder>& out) {
    struct statvfs info {};
    if (statvfs(tree.at(path).c_str(), &info) != 0) return;
    out.push_back(
        {path, std::uint64_t{info.f_bavail} * info.f_frsize, (info.f_flag & ST_RDONLY) != 0});
}

std::vector<Disk::Card> read_cards(const Tree& tree) {
    std::vector<Disk::Card> cards;
    for (const std::string& name : tree.names("/sys/block")) {
        if (!name.starts_with("mmcblk")) continue;
        const std::string path = "/sys/block/" + name + "/device/";
        Disk::Card card{name, 0, false};
        // "0x02 0x01": of both kinds of memory that an eMMC has.
        for (const std::string& word : words(tree.text(path + "life_time").value_or(""))) {
            card.worn_tenths = std::max(card.worn_tenths, parse_number(word).value_or(0));
        }
        card.near_end = tree.number(path + "pre_eol_info").value_or(1) > 1;
        cards.push_back(std::move(card));
    }
    return cards;
}

}  // namespace

Disk read_disk(const Tree& tree, const config::Settings& settings) {
    Disk disk;
    add_folder(tree, settings.device.state_dir, disk.folders);
    for (const std::string& folder : settings.models.directories) {
        // What packages bring is read only, and shall be.
        if (!folder.starts_with("/usr/")) add_folder(tree, folder, disk.folders);
    }
    for (const std::string& name : tree.names("/sys/fs/ext4")) {
        const auto count = tree.number("/sys/fs/ext4/" + name + "/errors_count");
        if (count.value_or(0) != 0) disk.errors[name] = *count;
    }
    disk.cards = read_cards(tree);
    return disk;
}

}  // namespace shoal::cli::doctor
