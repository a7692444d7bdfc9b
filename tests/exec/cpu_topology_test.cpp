#include "daemon/exec/cpu_topology.hpp"

#include <doctest/doctest.h>
#include <sched.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <thread>

namespace shoal::exec {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<std::uint32_t>;

// `count` CPUs from `first` on, `threads` of which share a core, of one capacity.
void add(CpuTopology& topology, std::uint32_t first, std::uint32_t count, std::uint32_t threads,
         double capacity) {
    for (std::uint32_t i = 0; i < count; ++i) {
        topology.cpus.push_back({first + i, first + i / threads * threads, capacity});
    }
}

// Radxa Rock 5, Orange Pi 5: four Cortex-A55, then four Cortex-A76 in two clusters.
CpuTopology rk3588() {
    CpuTopology t;
    add(t, 0, 4, 1, 397);
    add(t, 4, 2, 1, 1024);
    add(t, 6, 2, 1, 1024);
    return t;
}

CpuTopology raspberry_pi_5() {
    CpuTopology t;
    add(t, 0, 4, 1, 1);
    return t;
}

// Four cores whose second threads come after all first ones: 0 and 4, 1 and 5, ...
CpuTopology hyper_threaded_pc() {
    CpuTopology t;
    for (std::uint32_t i = 0; i < 8; ++i) t.cpus.push_back({i, i % 4, 4'800'000});
    return t;
}

// Two fast cores of two threads (one of them clocks a little higher), four slower ones of one.
CpuTopology hybrid_intel() {
    CpuTopology t;
    add(t, 0, 2, 2, 5'000'000);
    add(t, 2, 2, 2, 5'200'000);
    add(t, 4, 4, 1, 3'900'000);
    return t;
}

// A folder that looks like the root of a system; gone afterwards.
struct FakeRoot {
    FakeRoot() {
        char name[] = "/tmp/shoal-cpus-XXXXXX";
        path = mkdtemp(name);
    }
    ~FakeRoot() { fs::remove_all(path); }
    FakeRoot(const FakeRoot&) = delete;
    FakeRoot& operator=(const FakeRoot&) = delete;

    void write(const std::string& name, const std::string& text) const {
        fs::create_directories((path / name).parent_path());
        std::ofstream(path / name) << text << '\n';
    }
    void write_cpu(std::uint32_t id, const std::string& name, const std::string& text) const {
        write("sys/devices/system/cpu/cpu" + std::to_string(id) + "/" + name, text);
    }
    double quota() const { return read_topology(path, {0}).quota; }

    fs::path path;
};

}  // namespace

TEST_CASE("every physical core computes, the faster ones first") {
    CHECK(choose_cpus(rk3588(), 0) == Ids{4, 5, 6, 7, 0, 1, 2, 3});
    CHECK(choose_cpus(raspberry_pi_5(), 0) == Ids{0, 1, 2, 3});
    CHECK(choose_cpus(hyper_threaded_pc(), 0) == Ids{0, 1, 2, 3});
    CHECK(choose_cpus(hybrid_intel(), 0) == Ids{2, 0, 4, 5, 6, 7});
}

TEST_CASE("a number of threads takes the best CPUs, second threads of a core last") {
    CHECK(choose_cpus(rk3588(), 4) == Ids{4, 5, 6, 7});
    CHECK(choose_cpus(rk3588(), 5) == Ids{4, 5, 6, 7, 0});
    CHECK(choose_cpus(hyper_threaded_pc(), 6) == Ids{0, 1, 2, 3, 4, 5});
    CHECK(choose_cpus(hybrid_intel(), 1) == Ids{2});
    CHECK(choose_cpus(hybrid_intel(), 8) == Ids{2, 0, 4, 5, 6, 7, 3, 1});
    CHECK(choose_cpus(raspberry_pi_5(), 64) == Ids{0, 1, 2, 3});
    CHECK(thread_count(raspberry_pi_5(), 64) == 64);
}

TEST_CASE("a quota bounds the threads that nobody asked for") {
    CpuTopology t = rk3588();
    t.quota = 2;
    CHECK(choose_cpus(t, 0) == Ids{4, 5});
    t.quota = 2.1;
    CHECK(choose_cpus(t, 0).size() == 3);
    t.quota = 0.25;
    CHECK(choose_cpus(t, 0) == Ids{4});
    t.quota = 100;
    CHECK(choose_cpus(t, 0).size() == 8);
    t.quota = 2;
    CHECK(choose_cpus(t, 4).size() == 4);
}

TEST_CASE("an affinity mask may leave half a core") {
    CpuTopology t = hyper_threaded_pc();
    std::erase_if(t.cpus, [](const Cpu& c) { return c.id != 1 && c.id != 5 && c.id != 6; });
    CHECK(choose_cpus(t, 0) == Ids{1, 6});
    CHECK(choose_cpus(t, 3) == Ids{1, 6, 5});
    CHECK(thread_count({}, 0) == 1);
    CHECK(choose_cpus({}, 0).empty());
}

TEST_CASE("threads keep off clearly slower cores, and to no particular one") {
    CHECK(allowed_cpus(rk3588(), choose_cpus(rk3588(), 2)) == Ids{4, 5, 6, 7});
    CHECK(allowed_cpus(rk3588(), choose_cpus(rk3588(), 5)).size() == 8);
    CHECK(allowed_cpus(hyper_threaded_pc(), {0, 1}).size() == 8);
    CHECK(allowed_cpus(hybrid_intel(), {2}) == Ids{0, 1, 2, 3});
    CHECK(allowed_cpus(raspberry_pi_5(), {0}) == Ids{0, 1, 2, 3});
}

TEST_CASE("cores, capacities and frequencies are read from the system") {
    const FakeRoot root;
    for (std::uint32_t i = 0; i < 4; ++i) {
        root.write_cpu(i, "topology/thread_siblings_list", i % 2 == 0 ? "0,2" : "1,3");
        root.write_cpu(i, "cpufreq/cpuinfo_max_freq", i % 2 == 0 ? "1800000" : "2400000");
    }
    CpuTopology t = read_topology(root.path, {0, 1, 2, 3});
    REQUIRE(t.cpus.size() == 4);
    CHECK(t.cpus[2].core == 0);
    CHECK(t.cpus[3].core == 1);
    CHECK(t.cpus[3].capacity == 2'400'000);
    CHECK(t.quota == 0);
    CHECK(choose_cpus(t, 0) == Ids{1, 0});
    // Where the kernel gives capacities, frequencies say nothing of different cores.
    for (std::uint32_t i = 0; i < 4; ++i) {
        root.write_cpu(i, "cpu_capacity", i % 2 == 0 ? "1024" : "400");
    }
    t = read_topology(root.path, {0, 1, 2, 3});
    CHECK(t.cpus[3].capacity == 400);
    CHECK(choose_cpus(t, 0) == Ids{0, 1});
    // One CPU without a number makes the others' useless.
    fs::remove(root.path / "sys/devices/system/cpu/cpu3/cpu_capacity");
    CHECK(read_topology(root.path, {0, 1, 2, 3}).cpus[3].capacity == 2'400'000);
    CHECK(read_topology(root.path, {7}).cpus[0].core == 7);
}

TEST_CASE("the tightest of nested cgroups counts") {
    const FakeRoot root;
    CHECK(root.quota() == 0);
    root.write("proc/self/cgroup", "0::/system.slice/shoald.service");
    CHECK(root.quota() == 0);
    root.write("sys/fs/cgroup/system.slice/shoald.service/cpu.max", "max 100000");
    CHECK(root.quota() == 0);
    root.write("sys/fs/cgroup/system.slice/cpu.max", "150000 100000");
    CHECK(root.quota() == 1.5);
    root.write("sys/fs/cgroup/system.slice/shoald.service/cpu.max", "300000 100000");
    CHECK(root.quota() == 1.5);
    root.write("sys/fs/cgroup/cpu.max", "50000 100000");
    CHECK(root.quota() == 0.5);
    root.write("sys/fs/cgroup/cpu.max", "nonsense");
    CHECK(root.quota() == 1.5);
}

TEST_CASE("cgroups of the first version have limits in files of their own") {
    const FakeRoot root;
    root.write("proc/self/cgroup",
               "5:memory:/docker/ab\n4:cpu,cpuacct:/docker/ab\n3:cpuset:/\n0::/");
    // In a container the path is the host's, and its own group lies at the mount's top.
    root.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "250000");
    root.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000");
    root.write("sys/fs/cgroup/cpuset/cpu.cfs_quota_us", "10000");
    root.write("sys/fs/cgroup/cpuset/cpu.cfs_period_us", "100000");
    CHECK(root.quota() == 2.5);
    root.write("sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "-1");
    root.write("sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "100000");
    root.write("sys/fs/cgroup/cpu,cpuacct/docker/ab/cpu.cfs_quota_us", "120000");
    root.write("sys/fs/cgroup/cpu,cpuacct/docker/ab/cpu.cfs_period_us", "100000");
    CHECK(root.quota() == 1.2);
}

TEST_CASE("lists of CPUs are read as far as they make sense") {
    CHECK(parse_cpu_list("0-3,8") == Ids{0, 1, 2, 3, 8});
    CHECK(parse_cpu_list("5") == Ids{5});
    CHECK(parse_cpu_list("").empty());
    CHECK(parse_cpu_list("1,x") == Ids{1});
    CHECK(parse_cpu_list("3-1").empty());
    CHECK(parse_cpu_list("0-4000000000").empty());
}

TEST_CASE("a thread and those it starts keep to their CPUs") {
    const Ids all = choose_cpus(read_topology(), UINT32_MAX);
    REQUIRE(!all.empty());
    std::jthread([&] {
        CHECK(run_on({all[0]}));
        std::jthread([&] {
            CHECK(sched_getcpu() == static_cast<int>(all[0]));
            CHECK(choose_cpus(read_topology(), 0) == Ids{all[0]});
        }).join();
    }).join();
    CHECK(run_on({}));
    CHECK_FALSE(run_on({8000}));
    CHECK(choose_cpus(read_topology(), UINT32_MAX) == all);
}

}  // namespace shoal::exec
