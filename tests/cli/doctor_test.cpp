#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utmpx.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/doctor/finding.hpp"
#include "tests/cli/fake_daemon.hpp"
#include "tests/cli/process.hpp"

namespace doctor_test {

using shoal::tests::FakeDaemon;
using shoal::tests::run_shoal;
using shoal::tests::TempDir;
using namespace shoal::cli::doctor;
namespace fs = std::filesystem;
namespace messages = shoal::mesh::messages;

TEST_SUITE_BEGIN("cli/doctor");

namespace {

constexpr const char* kThrottled = "/sys/devices/platform/soc/soc:firmware/get_throttled";

std::string policy(const char* file) {
    return fmt::format("/sys/devices/system/cpu/cpufreq/policy0/{}", file);
}

std::string eth(const char* file) {
    return fmt::format("/sys/class/net/eth0/{}", file);
}

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

messages::StatusReply two_devices() {
    messages::StatusReply status;
    status.version = "0.1.0";
    status.cluster = "3f2a-91c0-77de";
    status.self = status.root = "aa11";
    messages::DeviceInfo self;
    self.id = "aa11";
    self.name = "kitchen";
    self.self = self.root = true;
    messages::DeviceInfo other;
    other.id = "bb22";
    other.name = "attic";
    other.address = "10.0.0.6";
    other.state = "ready";
    status.devices = {self, other};
    return status;
}

/// A board on which all is well, as files; a test then makes one fault.
struct Board {
    Board() {
        put("/proc/meminfo", "MemTotal:  8000000 kB\nMemFree: 1 kB\nMemAvailable: 5000000 kB\n");
        put("/proc/vmstat", "pgfault 12\noom_kill 0\n");
        put("/proc/pressure/memory",
            "some avg10=90.00 avg60=0.50 avg300=0.00 total=1\n"
            "full avg10=0.00 avg60=99.00 avg300=0.00 total=1\n");
        put("/proc/pressure/cpu", "some avg10=1.00 avg60=1.00 avg300=0.00 total=1\n");
        put("/proc/swaps", "Filename Type Size Used Priority\n/dev/zram0 partition 100 50 5\n");
        put("/proc/mounts", "/dev/mmcblk0p2 / ext4 rw 0 0\n/dev/sda1 /srv ext4 rw 0 0\n");
        put("/proc/net/tcp", "  sl local rem st\n   0: 0100007F:1F9A 00000000:0000 01 0\n");
        put("/proc/sys/net/core/busy_read", "50\n");
        put("/proc/sys/net/core/busy_poll", "50\n");
        put("/proc/device-tree/model", std::string("Raspberry Pi 5 Model B Rev 1.0\0", 31));
        put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
        put(policy("scaling_governor"), "ondemand\n");
        put(policy("scaling_driver"), "cpufreq-dt\n");
        put(policy("scaling_max_freq"), "2400000\n");
        put(policy("cpuinfo_max_freq"), "2400000\n");
        put(kThrottled, "0\n");
        put("/sys/class/hwmon/hwmon0/name", "rpi_volt\n");
        put("/sys/class/hwmon/hwmon0/in0_lcrit_alarm", "0\n");
        put("/sys/class/thermal/thermal_zone0/type", "cpu-thermal\n");
        put("/sys/class/thermal/thermal_zone0/temp", "51000\n");
        put("/sys/class/thermal/thermal_zone0/trip_point_0_type", "active\n");
        put("/sys/class/thermal/thermal_zone0/trip_point_0_temp", "50000\n");
        put("/sys/class/thermal/thermal_zone0/trip_point_1_type", "critical\n");
        put("/sys/class/thermal/thermal_zone0/trip_point_1_temp", "85000\n");
        put(eth("device"), "");
        put(eth("operstate"), "up\n");
        put(eth("speed"), "1000\n");
        put(eth("duplex"), "full\n");
        put(eth("carrier_changes"), "2\n");
        put(eth("statistics/rx_packets"), "1000000\n");
        put(eth("statistics/rx_errors"), "1\n");
        put("/sys/block/mmcblk0/device/life_time", "0x01 0x02\n");
        put("/sys/block/mmcblk0/device/pre_eol_info", "0x01\n");
        put("/sys/fs/ext4/mmcblk0p2/errors_count", "0\n");
        put("/run/systemd/timesync/synchronized", "");
        put("/lib/systemd/system/shoald.service", "");
        put("/etc/systemd/system/multi-user.target.wants/shoald.service", "");
        put("/var/lib/shoal/cluster.key", "not to be read here\n");
        chmod((root.path() + "/var/lib/shoal/cluster.key").c_str(), 0600);
        daemon.status = two_devices();
    }
    void put(const std::string& path, const std::string& text) {
        const fs::path file = root.path() + path;
        fs::create_directories(file.parent_path());
        std::ofstream(file) << text;
    }
    void remove(const std::string& path) { fs::remove_all(root.path() + path); }
    std::string get(const std::string& path) const {
        return Tree(root.path()).text(path).value_or("(none)");
    }
    Facts facts() const {
        Facts facts = read_facts(Tree(root.path()), "", daemon);
        facts.client_version = "0.1.0";
        // Folders lie on the disk of whoever tests.
        for (auto& folder : facts.disk.folders) folder.free_bytes = std::uint64_t{1} << 40;
        return facts;
    }

    TempDir root;
    DaemonFacts daemon;
};

/// What one check finds; all others must find what they found before: nothing.
Findings only(const std::string& name, const Facts& facts) {
    Findings of_it;
    for (const Result& result : examine(facts)) {
        CAPTURE(result.check->name);
        if (name == result.check->name) {
            REQUIRE(result.found);
            of_it = *result.found;
        } else if (result.found) {
            CHECK(result.found->empty());
        }
    }
    return of_it;
}

/// The one finding of a check.
Finding the(const std::string& name, const Facts& facts) {
    const Findings found = only(name, facts);
    REQUIRE(found.size() == 1);
    CHECK_FALSE(found[0].text.empty());
    CHECK_FALSE((found[0].command.empty() && found[0].advice.empty()));
    return found[0];
}

Finding the(const std::string& name, const Board& board) {
    return the(name, board.facts());
}

bool has(const Board& board, const std::string& name) {
    for (const Result& result : examine(board.facts())) {
        if (name == result.check->name) return result.found.has_value();
    }
    FAIL("no check ", name);
    return false;
}

}  // namespace

TEST_CASE("a board on which all is well has no findings, and all checks look at something") {
    const Board board;
    const auto results = examine(board.facts());
    for (const Result& result : results) {
        CAPTURE(result.check->name);
        if (result.found) CHECK(result.found->empty());
    }
    CHECK(problems(results) == 0);
    // Those ask kernels and devices that are not files.
    const std::set<std::string> absent = {"port",       "routes",        "loss",
                                          "round-trip", "energy-saving", "coalescing"};
    for (const Result& result : results) {
        CAPTURE(result.check->name);
        CHECK(result.found.has_value() != absent.contains(result.check->name));
    }
}

TEST_CASE("where nothing is told nothing is found but that the daemon is silent") {
    const TempDir empty;
    DaemonFacts silent;
    silent.silence = "the daemon is not running: there is no socket /x.\nStart it";
    Facts facts = read_facts(Tree(empty.path()), "", silent);
    const Finding f = the("daemon", facts);
    CHECK(f.severity == Severity::error);
    CHECK(f.text == "the daemon is not running: there is no socket /x.");
    CHECK(f.command == "shoald --config /etc/shoal/shoald.toml");
}

TEST_CASE("names of checks are words for programs, each used once") {
    std::set<std::string> names;
    for (const Check& check : checks()) {
        CHECK(std::string(check.name).find_first_not_of("abcdefghijklmnopqrstuvwxyz-") ==
              std::string::npos);
        CHECK(names.insert(check.name).second);
    }
    CHECK(names.size() == checks().size());
}

TEST_CASE("the daemon's silence has a remedy for whom the socket is not") {
    Board board;
    board.daemon.status.reset();
    board.daemon.silence =
        "you may not use /run/x: only members of group shoal can.\n"
        "Join it with `sudo usermod -aG shoal $USER` and log in again.";
    CHECK(the("daemon", board).command == "sudo usermod -aG shoal $USER");
    board.daemon.silence = "the daemon is not running: nobody answers on /run/shoal/control.sock.";
    CHECK(the("daemon", board).command == "sudo systemctl restart shoald");
    board.daemon.socket = "/home/a/x.sock";
    CHECK(the("daemon", board).command == "shoald --config /etc/shoal/shoald.toml");
}

TEST_CASE("settings that the daemon refuses are told with its reason") {
    Board board;
    board.put("/etc/shoal/shoald.toml", "[http]\nport = \"many\"\n");
    const Finding f = the("settings", board);
    CHECK(contains(f.text, "shoald.toml:2"));
    CHECK(contains(f.text, "http.port"));
    const Facts facts = read_facts(Tree(board.root.path()), "/nowhere.toml", board.daemon);
    CHECK(facts.settings_error == "/nowhere.toml cannot be read");
}

TEST_CASE("a unit that is not enabled is a notice") {
    Board board;
    board.remove("/etc/systemd/system/multi-user.target.wants/shoald.service");
    CHECK(the("start", board).severity == Severity::notice);
    board.remove("/lib/systemd/system/shoald.service");
    CHECK_FALSE(has(board, "start"));
}

TEST_CASE("a cluster key that others can read is an error, and --fix takes it from them") {
    Board board;
    const std::string file = board.root.path() + "/var/lib/shoal/cluster.key";
    for (const mode_t open : {0644, 0620, 0602}) {
        chmod(file.c_str(), open);
        const Finding f = the("key", board);
        CHECK(f.severity == Severity::error);
        // A group that reads it, as the daemon's may, stays.
        CHECK(f.command == (open == 0644 ? "sudo chmod 640 /var/lib/shoal/cluster.key"
                                         : "sudo chmod 600 /var/lib/shoal/cluster.key"));
        REQUIRE(f.fixes.size() == 1);
        CHECK(apply(f.fixes[0], Tree(board.root.path())).empty());
        CHECK(only("key", board.facts()).empty());
    }
    chmod(file.c_str(), 0640);
    CHECK(only("key", board.facts()).empty());
}

TEST_CASE("a key that the daemon has not read yet is named by its cluster") {
    const Board board;
    Facts facts = board.facts();
    facts.key.fingerprint = "0000-1111-2222";
    const Finding f = the("key", facts);
    CHECK(contains(f.text, "3f2a-91c0-77de"));
    CHECK(contains(f.text, "0000-1111-2222"));
}

TEST_CASE("a daemon of another version than the client was not restarted") {
    Board board;
    board.daemon.status->version = "0.0.9";
    const Finding here = the("version", board);
    CHECK(here.text == "this device runs version 0.0.9 of shoald, and this program is 0.1.0");
    CHECK(here.command == "sudo systemctl restart shoald");
    board.daemon.status->root = "bb22";
    CHECK(contains(the("version", board).text, "attic runs version 0.0.9"));
}

TEST_CASE("lost devices, elections and a cluster of one are told") {
    Board board;
    board.daemon.status->devices[1].alive = false;
    board.daemon.status->devices[1].state = "lost 12 s ago";
    const Finding lost = the("devices", board);
    CHECK(lost.text == "attic (10.0.0.6) is lost: lost 12 s ago");
    CHECK(lost.command == "ping -c 3 10.0.0.6");
    board.daemon.status->devices.pop_back();
    CHECK(the("devices", board).severity == Severity::notice);
    board.daemon.status = two_devices();
    board.daemon.status->root.clear();
    CHECK(contains(the("devices", board).text, "no root"));
}

TEST_CASE("what the daemons warn of is found, with their remedy") {
    Board board;
    board.daemon.status->warnings = {{"disk-full", Severity::error, "bb22", "no room", "free some"},
                                     {"left-out", Severity::notice, "", "it is a spare", ""}};
    const Findings found = only("warnings", board.facts());
    REQUIRE(found.size() == 2);
    CHECK(found[0].text == "attic: no room");
    CHECK(found[0].advice == "free some");
    CHECK(found[0].severity == Severity::error);
    CHECK(found[1].text == "it is a spare");
}

TEST_CASE("a port that another program has is named when the daemon does not run") {
    Board board;
    const auto port_taken = [&] {
        Facts facts = board.facts();
        facts.daemon.status.reset();
        for (const Result& r : examine(facts)) {
            if (std::string("port") == r.check->name) return r.found.value_or(Findings{}).size();
        }
        return std::size_t{99};
    };
    CHECK(port_taken() == 0);  // 1F9A is 8090, in a connection
    board.put("/proc/net/tcp6", "  sl local rem st\n   0: 00:1F9A 00:0000 0A 0\n");
    CHECK(port_taken() == 1);
    CHECK_FALSE(has(board, "port"));
    board.put("/etc/shoal/shoald.toml", "[http]\nport = 8091\n");
    CHECK(port_taken() == 0);
}

TEST_CASE("a firewall that is on is a problem only where somebody is missing") {
    Board board;
    const auto command = [&] {
        Facts facts = board.facts();
        facts.daemon.status->devices.pop_back();
        for (const Result& r : examine(facts)) {
            if (std::string("firewall") != r.check->name) continue;
            return r.found->empty() ? "" : r.found->front().command;
        }
        return std::string("(none)");
    };
    board.put("/etc/ufw/ufw.conf", "# ufw\nENABLED=no\n");
    CHECK(command().empty());
    board.put("/etc/ufw/ufw.conf", "# ufw\nENABLED=yes\n");
    CHECK(only("firewall", board.facts()).empty());
    CHECK(command() == "sudo ufw allow from 192.168.1.0/24");
    board.remove("/etc/ufw");
    board.put("/run/firewalld.pid", "1\n");
    CHECK(contains(command(), "firewall-cmd"));
    board.remove("/run/firewalld.pid");
    board.put("/etc/nftables.conf", "chain input { type filter hook input priority 0; drop; }\n");
    CHECK(command().empty());
    board.put("/etc/systemd/system/sysinit.target.wants/nftables.service", "");
    CHECK(command() == "sudo nft list ruleset");
}

TEST_CASE("a clock that nobody sets is a notice that --fix sees to") {
    Board board;
    board.remove("/run/systemd/timesync/synchronized");
    const Finding f = the("clock", board);
    CHECK(f.severity == Severity::notice);
    REQUIRE(f.fixes.size() == 1);
    CHECK(f.fixes[0].program == std::vector<std::string>{"timedatectl", "set-ntp", "true"});
    Facts facts = board.facts();
    facts.clock_synchronised = true;
    facts.seconds_since_1970 = 1'000'000;
    CHECK(the("clock", facts).severity == Severity::notice);
}

TEST_CASE("little memory, processes that were ended, and waiting for memory are warnings") {
    Board board;
    board.put("/proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 700000 kB\n");
    CHECK(contains(the("memory", board).text, "684 MiB of 7.6 GiB"));
    board.put("/proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 260000 kB\n");
    CHECK(the("memory", board).severity == Severity::warning);
    board.put("/proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 270000 kB\n");
    CHECK(only("memory", board.facts()).empty());
    board.put("/proc/vmstat", "oom_kill 2\n");
    CHECK(contains(the("memory", board).text, "2 processes"));
    board.put("/proc/vmstat", "oom_kill 0\n");
    board.put("/proc/pressure/memory", "some avg10=0.00 avg60=12.30 avg300=0.00 total=1\n");
    CHECK(contains(the("memory", board).text, "12 %"));
}

TEST_CASE("a daemon that is swapped out, and swap on a card, are warnings") {
    Board board;
    board.daemon.process = 77;
    board.put("/proc/77/status", "Name: shoald\nVmSwap:   65536 kB\n");
    CHECK(only("swap", board.facts()).empty());
    board.put("/proc/77/status", "Name: shoald\nVmSwap:   70000 kB\n");
    CHECK(contains(the("swap", board).text, "68 MiB"));
    board.daemon.process = 0;
    const std::string titles = "Filename Type Size Used Priority\n";
    board.put("/proc/swaps", titles + "/var/swap file 102396 2048 -2\n");
    CHECK(the("swap", board).command == "sudo swapoff /var/swap");
    board.put("/proc/swaps", titles + "/var/swap file 102396 0 -2\n");
    CHECK(only("swap", board.facts()).empty());
    board.put("/proc/swaps", titles + "/srv/swap file 102396 2048 -2\n");
    CHECK(only("swap", board.facts()).empty());
    board.put("/proc/swaps", titles + "/dev/mmcblk0p3 partition 102396 2048 -2\n");
    CHECK(contains(the("swap", board).text, "/dev/mmcblk0p3"));
}

TEST_CASE("huge pages that are off are switched on by --fix") {
    Board board;
    const std::string file = "/sys/kernel/mm/transparent_hugepage/enabled";
    board.put(file, "always madvise [never]\n");
    const Finding f = the("huge-pages", board);
    CHECK(f.severity == Severity::warning);
    REQUIRE(f.fixes.size() == 1);
    CHECK(apply(f.fixes[0], Tree(board.root.path())).empty());
    CHECK(board.get(file) == "madvise");
    board.remove(file);
    CHECK_FALSE(has(board, "huge-pages"));
}

TEST_CASE("full disks, those that cannot be written and those with errors are told") {
    Board board;
    Facts facts = board.facts();
    REQUIRE(facts.disk.folders.size() == 1);
    CHECK(facts.disk.folders[0].path == "/var/lib/shoal");
    facts.disk.folders[0].free_bytes = std::uint64_t{900} << 20;
    CHECK(the("disk", facts).severity == Severity::warning);
    facts.disk.folders[0].free_bytes = std::uint64_t{90} << 20;
    CHECK(the("disk", facts).severity == Severity::error);
    facts.disk.folders[0].read_only = true;
    CHECK(contains(the("disk", facts).text, "cannot be written"));
    board.put("/sys/fs/ext4/mmcblk0p2/errors_count", "3\n");
    CHECK(the("disk", board).text == "the file system on mmcblk0p2 has met 3 errors");
}

TEST_CASE("a card that tells of its wear is a warning near its end") {
    Board board;
    const std::string life = "/sys/block/mmcblk0/device/life_time";
    board.put(life, "0x01 0x09\n");
    CHECK(contains(the("card", board).text, "mmcblk0 says that it has used 90 %"));
    board.put(life, "0x0b 0x01\n");
    CHECK(contains(the("card", board).text, "all of its life"));
    board.put(life, "0x01 0x01\n");
    board.put("/sys/block/mmcblk0/device/pre_eol_info", "0x02\n");
    CHECK(the("card", board).severity == Severity::warning);
    board.remove("/sys/block/mmcblk0");
    CHECK_FALSE(has(board, "card"));
}

TEST_CASE("the governor powersave is a warning, but not where it follows the load") {
    Board board;
    const std::string governor = policy("scaling_governor");
    board.put(governor, "powersave\n");
    const Finding f = the("governor", board);
    REQUIRE(f.fixes.size() == 1);
    CHECK(apply(f.fixes[0], Tree(board.root.path())).empty());
    CHECK(board.get(governor) == "performance");
    board.put(governor, "powersave\n");
    board.put(policy("scaling_driver"), "intel_pstate\n");
    CHECK(only("governor", board.facts()).empty());
}

TEST_CASE("a clock of the CPU that is held down is a notice") {
    Board board;
    board.put(policy("scaling_max_freq"), "1500000\n");
    const Finding f = the("speed-limit", board);
    CHECK(f.severity == Severity::notice);
    CHECK(f.text == "policy0 is held at 1500 of 2400 MHz");
    CHECK(f.fixes.empty());
}

TEST_CASE("heat is told near the limit, and of the past") {
    Board board;
    board.put("/sys/class/thermal/thermal_zone0/temp", "81000\n");
    CHECK(the("heat", board).text == "cpu-thermal has 81 degrees; from 85 on it is slowed down");
    board.put("/sys/class/thermal/thermal_zone0/temp", "51000\n");
    board.put(kThrottled, "40000\n");
    CHECK(the("heat", board).severity == Severity::notice);
    board.put(kThrottled, "40004\n");
    CHECK(the("heat", board).severity == Severity::warning);
    board.put(kThrottled, "80008\n");
    CHECK(the("heat", board).severity == Severity::warning);
    board.put(kThrottled, "0\n");
    board.put("/sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_count", "7\n");
    CHECK(contains(the("heat", board).text, "7 times"));
}

TEST_CASE("too little voltage is told, now and of the past, on boards old and new") {
    Board board;
    board.put(kThrottled, "50000\n");
    board.put("/sys/class/thermal/thermal_zone0/temp", "51000\n");
    // 0x40000 is of heat, and that is told apart.
    const auto found_in = [&](const char* flags) {
        board.put(kThrottled, flags);
        for (const Result& r : examine(board.facts())) {
            if (std::string("power") == r.check->name) return *r.found;
        }
        return Findings{};
    };
    REQUIRE(found_in("50000\n").size() == 1);
    CHECK(found_in("50000\n")[0].severity == Severity::warning);
    REQUIRE(found_in("50001\n").size() == 1);
    CHECK(found_in("50001\n")[0].severity == Severity::error);
    CHECK(contains(found_in("20002\n").at(0).text, "clock down"));
    CHECK(found_in("0\n").empty());
    board.put("/sys/class/hwmon/hwmon0/in0_lcrit_alarm", "1\n");
    CHECK(the("power", board).severity == Severity::error);
    board.put("/sys/class/hwmon/hwmon0/in0_lcrit_alarm", "0\n");
    board.put("/proc/device-tree/chosen/power/max_current", std::string("\0\0\x0b\xb8", 4));
    CHECK(contains(the("power", board).text, "promises 3000 mA"));
    board.put("/proc/device-tree/chosen/power/max_current", std::string("\0\0\x13\x88", 4));
    CHECK(only("power", board.facts()).empty());
    // Where another board has the firmware.
    board.remove("/sys/devices/platform/soc");
    board.put("/sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled", "1\n");
    CHECK(the("power", board).severity == Severity::error);
}

TEST_CASE("starts that no shutdown came before are counted, for a week") {
    const auto now = static_cast<std::uint64_t>(time(nullptr));
    const auto record = [](short type, const char* user, std::uint64_t when) {
        utmpx r{};
        r.ut_type = type;
        std::strncpy(r.ut_user, user, sizeof r.ut_user - 1);
        r.ut_tv.tv_sec = static_cast<decltype(r.ut_tv.tv_sec)>(when);
        return std::string(reinterpret_cast<const char*>(&r), sizeof r);
    };
    const std::uint64_t month = now - 30 * 86400, hour = now - 3600;
    Board board;
    const std::string clean =
        record(BOOT_TIME, "reboot", month) + record(BOOT_TIME, "reboot", month + 60) +  // long ago
        record(USER_PROCESS, "ada", hour) + record(RUN_LVL, "shutdown", hour) +
        record(BOOT_TIME, "reboot", hour + 60);
    board.put("/var/log/wtmp", clean);
    CHECK(only("resets", board.facts()).empty());
    board.put("/var/log/wtmp", clean + record(RUN_LVL, "runlevel", hour + 61) +
                                   record(BOOT_TIME, "reboot", hour + 120) +
                                   record(BOOT_TIME, "reboot", hour + 180));
    CHECK(contains(the("resets", board).text, "2 times"));
}

TEST_CASE("other load is told, but not while a request runs") {
    Board board;
    board.put("/proc/pressure/cpu", "some avg10=0.00 avg60=45.00 avg300=0.00 total=1\n");
    CHECK(contains(the("load", board).text, "45 %"));
    board.daemon.status->running = 1;
    CHECK(only("load", board.facts()).empty());
    board.remove("/proc/pressure/cpu");
    CHECK_FALSE(has(board, "load"));
}

TEST_CASE("Ethernet that is slow, half duplex or damages packets is told") {
    Board board;
    board.put(eth("speed"), "100\n");
    CHECK(the("ethernet", board).text == "eth0 runs at 100 Mbit/s");
    board.put(eth("speed"), "1000\n");
    board.put(eth("duplex"), "half\n");
    CHECK(the("ethernet", board).severity == Severity::error);
    board.put(eth("duplex"), "full\n");
    board.put(eth("statistics/rx_errors"), "11\n");
    CHECK(contains(the("ethernet", board).text, "11 damaged packets among 1000000"));
    board.put(eth("statistics/rx_packets"), "1000\n");
    board.put(eth("statistics/rx_errors"), "10\n");
    CHECK(only("ethernet", board.facts()).empty());
    board.put(eth("operstate"), "down\n");
    CHECK_FALSE(has(board, "ethernet"));
}

TEST_CASE("a link that comes and goes is told with the remedy of recent kernels") {
    Board board;
    board.put(eth("carrier_changes"), "9\n");
    CHECK(the("link-changes", board).command == "sudo ethtool --set-eee eth0 eee off");
}

TEST_CASE("what drivers tell: energy saving and coalescing") {
    const Board board;
    Facts facts = board.facts();
    facts.network.nics[0].driver.saves_energy = true;
    CHECK(the("energy-saving", facts).severity == Severity::warning);
    facts.cpu.board = "Another board";
    CHECK(the("energy-saving", facts).severity == Severity::notice);
    facts.network.nics[0].driver.saves_energy = false;
    CHECK(only("energy-saving", facts).empty());
    facts.network.nics[0].driver.receive_wait_us = 57;
    CHECK(contains(the("coalescing", facts).text, "57 us"));
    facts.network.nics[0].driver.receive_wait_us = 8;
    CHECK(only("coalescing", facts).empty());
}

TEST_CASE("busy polling that is off is a notice where there are other devices") {
    Board board;
    board.put("/proc/sys/net/core/busy_read", "0\n");
    board.put("/proc/sys/net/core/busy_poll", "0\n");
    CHECK(the("busy-poll", board).severity == Severity::notice);
    board.daemon.status->devices.pop_back();
    CHECK_FALSE(has(board, "busy-poll"));
}

TEST_CASE("no interface for beacons is an error") {
    const Board board;
    Facts facts = board.facts();
    facts.network.any_usable = false;
    CHECK(the("interfaces", facts).severity == Severity::error);
    facts.settings.cluster.interfaces = {"eth7"};
    CHECK(contains(the("interfaces", facts).text, "(eth7)"));
}

TEST_CASE("ways to other devices: tunnels, Wi-Fi, loss and long round trips") {
    Board board;
    board.put("/sys/class/net/wlan0/device", "");
    board.put("/sys/class/net/wlan0/wireless/x", "");
    Facts facts = board.facts();
    facts.network.paths = {{"attic", "10.0.0.6", "eth0", false, 40, 40, 0.3}};
    CHECK(only("routes", facts).empty());
    CHECK(only("loss", facts).empty());
    CHECK(only("round-trip", facts).empty());
    facts.network.paths[0].answered = 39;
    CHECK(the("loss", facts).text == "2 % of 40 packets to attic (10.0.0.6) and back were lost");
    facts.network.paths[0].answered = 0;  // it answers no pings
    for (const Result& r : examine(facts)) {
        if (std::string("loss") == r.check->name) CHECK_FALSE(r.found);
    }
    facts.network.paths[0].answered = 40;
    facts.network.paths[0].median_ms = 1.5;
    CHECK(contains(the("round-trip", facts).text, "1.50 ms"));
    facts.network.paths[0].interface = "wlan0";
    CHECK(the("routes", facts).severity == Severity::notice);
    facts.network.paths[0].median_ms = 0.3;
    facts.network.paths[0].interface = "wg0";
    facts.network.paths[0].virtual_interface = true;
    CHECK(contains(the("routes", facts).text, "wg0, a tunnel"));
}

TEST_CASE("fixes never make files, and say why they could not be done") {
    const Board board;
    const Tree tree(board.root.path());
    CHECK(contains(apply({"/sys/nothing/here", "1", {}, {}}, tree), "No such file"));
    CHECK_FALSE(tree.exists("/sys/nothing/here"));
    CHECK(apply({"", "", {}, {"true"}}, tree).empty());
    CHECK(apply({"", "", {}, {"false"}}, tree) == "false failed");
    CHECK(apply({"", "", {}, {"no-such-program-here"}}, tree) ==
          "no-such-program-here is not installed");
}

namespace {

shoal::tests::Result run_doctor_at(const Board& board, std::vector<std::string> more) {
    FakeDaemon daemon([&](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        reply(*board.daemon.status);
    });
    more.insert(more.begin(), {"doctor", "--root", board.root.path(), "--socket", daemon.socket()});
    return run_shoal(more);
}

}  // namespace

TEST_CASE(
    "the program tells findings, the gravest first, and its code says whether there are any") {
    Board board;
    CHECK(run_doctor_at(board, {}).code == 0);
    CHECK(contains(run_doctor_at(board, {}).out, "\nNo problems.\n"));
    board.put(policy("scaling_max_freq"), "1500000\n");
    CHECK(run_doctor_at(board, {}).code == 0);  // a notice
    board.put(eth("speed"), "100\n");
    board.put(eth("duplex"), "half\n");
    const auto result = run_doctor_at(board, {});
    CHECK(result.code == 1);
    CHECK(
        result.out.starts_with("error    ethernet: eth0 runs at half duplex: it cannot send while "
                               "it receives\n         sudo ethtool -s eth0 autoneg on\n"));
    CHECK(result.out.find("warning  ethernet: ") < result.out.find("notice   speed-limit: "));
    CHECK(contains(result.out, "\n2 problems.\n"));
    CHECK_FALSE(contains(result.out, "\x1b"));
    CHECK(contains(run_doctor_at(board, {"--color", "always"}).out, "\x1b[31merror\x1b[0m    eth"));
    const auto json = nlohmann::json::parse(run_doctor_at(board, {"--json"}).out);
    CHECK(json["event"] == "doctor");
    CHECK(json["problems"] == 2);
    CHECK(json["findings"][0]["command"] == "sudo ethtool -s eth0 autoneg on");
    CHECK(json["findings"][0]["fixable"] == false);
    CHECK(json["checks"]["clock"] == "fine");
    CHECK(json["checks"]["ethernet"] == "found");
    CHECK(json["checks"]["loss"] == "absent");
    CHECK(run_doctor_at(board, {"--json"}).code == 1);
}

TEST_CASE("the program runs without a daemon, which is then what is wrong") {
    const Board board;
    const auto result = run_shoal(
        {"doctor", "--root", board.root.path(), "--socket", board.root.file("none.sock")});
    CHECK(result.code == 1);
    CHECK(result.err.empty());
    CHECK(contains(result.out, "error    daemon: the daemon is not running: there is no socket"));
    CHECK(contains(result.out, "Fine: "));
    CHECK(run_shoal({"doctor", "--socket", std::string(200, 'x')}).code == 2);
}

TEST_CASE("--fix does what is harmless, and no more") {
    Board board;
    const std::string pages = "/sys/kernel/mm/transparent_hugepage/enabled";
    board.put(pages, "always madvise [never]\n");
    board.put(policy("scaling_governor"), "powersave\n");
    board.put(policy("scaling_max_freq"), "1500000\n");
    CHECK(contains(run_doctor_at(board, {}).out, "; `sudo shoal doctor --fix` sees to 2.\n"));
    CHECK(board.get(pages) == "always madvise [never]");
    const auto result = run_doctor_at(board, {"--fix"});
    CHECK(contains(result.err, "shoal: done: echo madvise | sudo tee " + pages + "\n"));
    CHECK(board.get(pages) == "madvise");
    CHECK(board.get(policy("scaling_governor")) == "performance");
    CHECK(board.get(policy("scaling_max_freq")) == "1500000");
    CHECK(contains(result.out, "No problems"));
    CHECK(result.code == 0);
}

TEST_SUITE_END();

}  // namespace doctor_test
