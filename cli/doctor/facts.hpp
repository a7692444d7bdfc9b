// What `shoal doctor` knows of this device and its cluster: the input of all checks.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/doctor/tree.hpp"
#include "config/settings.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal::cli::doctor {

/// A nothing is what this system does not tell. Folders and devices are named as it names them.
struct Memory {
    std::optional<std::uint64_t> total_bytes, available_bytes;
    std::optional<std::uint64_t> killed;  ///< processes ended for want of memory since the start
    std::optional<double> pressure;       ///< percent of the last minute in which something waited
    std::optional<std::string> huge_pages;  ///< "always", "madvise", "never"
    struct Swap {
        std::string file;
        std::uint64_t total_bytes = 0, used_bytes = 0;
        bool on_card = false;  ///< an SD card or eMMC
    };
    std::vector<Swap> swaps;
};

struct Cpu {
    struct Policy {  ///< CPUs whose clock is set together
        std::string name, governor, driver;
        std::vector<std::string> governors;                 ///< that could be chosen
        std::optional<std::uint64_t> max_khz, highest_khz;  ///< as set; as the hardware has it
    };
    std::vector<Policy> policies;
    std::optional<double> pressure;               ///< as of memory
    std::optional<std::uint64_t> pi_throttled;    ///< get_throttled of a Raspberry Pi's firmware
    std::optional<std::uint64_t> pi_supply_ma;    ///< what a Pi 5 was promised by its supply
    std::optional<bool> under_voltage;            ///< by the sensor rpi_volt
    std::optional<std::uint64_t> throttle_count;  ///< of the CPU packages, since the start
    struct Zone {
        std::string kind;
        double celsius = 0, limit_celsius = 0;  ///< from which on the kernel slows it down
    };
    std::vector<Zone> zones;
    std::string board;                 ///< "Raspberry Pi 5 Model B Rev 1.0"; empty: not told
    std::uint32_t unclean_starts = 0;  ///< of the last week: without a shutdown before
};

/// What a network card's driver tells by ioctl.
struct Ethtool {
    std::optional<bool> saves_energy;              ///< energy-efficient Ethernet is active
    std::optional<std::uint32_t> receive_wait_us;  ///< before a packet is told of
};

struct Nic {
    std::string name;
    bool up = false, wireless = false;
    std::optional<std::uint64_t> mbit;
    std::string duplex;                         ///< "full", "half"; empty: not told
    std::optional<std::uint64_t> link_changes;  ///< since the start
    std::optional<std::uint64_t> received, receive_errors;
    Ethtool driver;
};

/// A way to another device of the cluster.
struct Path {
    std::string device, address;
    std::string interface;                  ///< that packets to it leave by; empty: not known
    bool virtual_interface = false;         ///< a tunnel, or of containers
    std::uint32_t asked = 0, answered = 0;  ///< pings; 0: none could be sent
    double median_ms = -1;                  ///< of the answers, else as the daemon measured
};

struct Network {
    std::vector<Nic> nics;
    bool any_usable = false;  ///< an interface for beacons, beside the loopback
    std::optional<std::uint64_t> busy_read, busy_poll;
    std::vector<std::string> firewalls;    ///< names of those that are switched on
    std::string neighbours;                ///< the own network, "192.168.1.0/24"; empty: none
    std::vector<std::uint16_t> listening;  ///< TCP ports on which any program listens
    std::vector<Path> paths;
};

struct Disk {
    struct Folder {
        std::string path;
        std::optional<std::uint64_t> free_bytes;
        bool read_only = false;
    };
    std::vector<Folder> folders;                  ///< of the state and of models
    std::map<std::string, std::uint64_t> errors;  ///< of ext4 file systems that had any
    struct Card {
        std::string device;
        std::uint64_t worn_tenths = 0;  ///< 0: not told; 1: up to a tenth is used; 11: beyond all
        bool near_end = false;
    };
    std::vector<Card> cards;
};

struct DaemonFacts {
    std::optional<mesh::messages::StatusReply> status;
    std::string silence;                                    ///< why there is no status
    std::string socket = config::ControlSettings{}.socket;  ///< that was asked
    int process = 0;                                        ///< 0: not known
    std::optional<bool> starts_with_system;                 ///< nothing: no unit is installed
    std::optional<std::uint64_t> swapped_bytes;
};

struct Facts {
    std::string client_version;
    config::Settings settings;
    std::string settings_file, settings_error;
    struct Key {
        std::string file;
        std::optional<unsigned> mode;  ///< permissions
        std::string fingerprint;       ///< empty: it is not for us to read
    } key;
    std::optional<bool> clock_synchronised;
    std::uint64_t seconds_since_1970 = 0;
    Memory memory;
    Cpu cpu;
    Network network;
    Disk disk;
    DaemonFacts daemon;
};

/// What the system tells: files below the tree's root and, of the system itself, its kernel.
/// `settings_file` empty: where the daemon looks by itself. `daemon` has its status, or why there
/// is none; the rest of it is added here.
Facts read_facts(const Tree& tree, const std::string& settings_file, DaemonFacts daemon);

// The parts of it.
Memory read_memory(const Tree& tree);
Cpu read_cpu(const Tree& tree, std::uint64_t seconds_since_1970);
/// Percent of the last minute in which some process waited for "memory" or "cpu".
std::optional<double> read_pressure(const Tree& tree, std::string_view of);
Network read_network(const Tree& tree, const config::Settings& settings);
Disk read_disk(const Tree& tree, const config::Settings& settings);

/// By ioctl, of this system's own interface.
Ethtool ask_driver(const std::string& interface);

/// Ways to the other devices of a cluster that answer the daemon, by pings; takes a second or so.
std::vector<Path> try_paths(const mesh::messages::StatusReply& status);

}  // namespace shoal::cli::doctor
