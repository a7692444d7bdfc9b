#include "daemon/memory_budget.hpp"

#include <doctest/doctest.h>
#include <malloc.h>
#include <unistd.h>

#include <fstream>
#include <mutex>
#include <set>
#include <string>

#include "daemon/device_facts.hpp"
#include "daemon/engine/engine_thread.hpp"
#include "tests/counted_memory.hpp"
#include "tests/daemon/support.hpp"
#include "tests/instrumented.hpp"

namespace memory_budget_test {

using namespace shoal;
using namespace shoal::tests;

namespace {

constexpr std::uint64_t kMiB = 1 << 20;

// A system of 1000 MiB, of which 800 MiB are available.
struct FakeSystem {
    FakeSystem() { meminfo(800); }
    void meminfo(std::uint64_t available) const {
        write("proc/meminfo", "MemTotal: " + std::to_string(1000 * 1024) +
                                  " kB\nMemFree: 9 kB\nMemAvailable: " +
                                  std::to_string(available * 1024) + " kB\nSwapFree: 99999999 kB");
    }
    // The process holds so much, and maps 500 MiB of files.
    void process(std::uint64_t mib) const {
        const auto pages = [](std::uint64_t m) {
            return std::to_string(m * kMiB / static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)));
        };
        write("proc/self/statm",
              pages(9000) + " " + pages(500 + mib) + " " + pages(500) + " 1 0 9 0");
    }
    // A group of version 2 with so many MiB in use, of which some belong to files.
    void group(const std::string& path, const std::string& max, std::uint64_t used,
               std::uint64_t files) const {
        const std::string folder = "sys/fs/cgroup" + path + "/";
        write(folder + "memory.max", max);
        write(folder + "memory.current", std::to_string(used * kMiB));
        write(folder + "memory.stat", "anon 12345\nfile 99999999999\ninactive_file " +
                                          std::to_string(files * kMiB / 2) + "\nactive_file " +
                                          std::to_string(files * kMiB / 4) + "\nslab_reclaimable " +
                                          std::to_string(files * kMiB / 4));
    }
    void write(const std::string& name, const std::string& text) const {
        std::filesystem::create_directories((root.folder / name).parent_path());
        std::ofstream(root.folder / name) << text << '\n';
    }
    void check(std::uint64_t total, std::uint64_t available) const {
        const Memory memory = read_memory(root.folder);
        CHECK(memory.total == total * kMiB);
        CHECK(memory.available == available * kMiB);
    }

    TemporaryFolder root;
};

std::string mib(std::uint64_t count) {
    return std::to_string(count * kMiB);
}

}  // namespace

TEST_SUITE("memory budget") {
    TEST_CASE_FIXTURE(FakeSystem, "without a cgroup's limit the system's words count") {
        check(1000, 800);
        write("proc/self/cgroup", "0::/");
        check(1000, 800);
        write("proc/self/cgroup", "0::/system.slice/shoald.service\nnonsense\n7:x");
        group("/system.slice/shoald.service", "max", 700, 0);
        check(1000, 800);
        write("proc/meminfo", "nonsense");
        CHECK(read_memory(root.folder).total == 0);
        CHECK(read_memory(root.folder).available == 0);
    }

    TEST_CASE_FIXTURE(FakeSystem, "what a cgroup keeps of files is available") {
        write("proc/self/cgroup", "0::/shoal");
        group("/shoal", mib(512), 500, 400);
        check(512, 412);
        // The files of a busy group may be gone when memory.current is read.
        group("/shoal", mib(512), 300, 400);
        check(512, 512);
        // What others leave of the machine bounds it all the same.
        meminfo(100);
        check(512, 100);
        // Full: not zero, which would mean that nothing is known.
        group("/shoal", mib(512), 512, 0);
        CHECK(read_memory(root.folder).available == 1);
    }

    TEST_CASE_FIXTURE(FakeSystem, "memory.high is a limit, too") {
        write("proc/self/cgroup", "0::/shoal");
        group("/shoal", mib(512), 100, 0);
        write("sys/fs/cgroup/shoal/memory.high", mib(300));
        check(300, 200);
        write("sys/fs/cgroup/shoal/memory.high", "max");
        check(512, 412);
    }

    TEST_CASE_FIXTURE(FakeSystem, "the tightest of nested cgroups counts, by limit and by use") {
        write("proc/self/cgroup", "0::/user/shoal");
        group("/user/shoal", mib(400), 100, 0);
        group("/user", mib(600), 550, 0);  // others of the group use most of it
        check(400, 50);
        group("/user", mib(200), 100, 0);
        check(200, 100);
        group("/user", "max", 100, 0);
        check(400, 300);
    }

    TEST_CASE_FIXTURE(FakeSystem,
                      "cgroups of the first version have limits in files of their own") {
        write("proc/self/cgroup", "5:cpu:/docker/ab\n4:memory:/docker/ab\n0::/");
        const std::string folder = "sys/fs/cgroup/memory/docker/ab/";
        write(folder + "memory.limit_in_bytes", "9223372036854771712");
        write(folder + "memory.usage_in_bytes", mib(300));
        write(folder + "memory.stat", "cache 5\ninactive_file 7\ntotal_inactive_file " + mib(40) +
                                          "\ntotal_active_file " + mib(60) +
                                          "\nhierarchical_memory_limit 9223372036854771712");
        check(1000, 800);
        write(folder + "memory.limit_in_bytes", mib(500));
        check(500, 300);
        // A limit of a group above, which a container does not see.
        write(folder + "memory.stat", "hierarchical_memory_limit " + mib(400));
        check(400, 100);
        write("sys/fs/cgroup/memory/docker/memory.limit_in_bytes", mib(350));
        write("sys/fs/cgroup/memory/docker/memory.usage_in_bytes", mib(320));
        check(350, 30);
    }

    TEST_CASE_FIXTURE(FakeSystem, "what is offered stays, whatever a plan holds of it") {
        process(20);
        const MemoryBudget budget(0, root.folder);
        CHECK(budget.read().available == 800 * kMiB);
        for (const std::uint64_t held : {100, 500, 790, 300, 0}) {
            process(20 + held);
            meminfo(800 - held);
            CHECK(budget.read().available == 800 * kMiB);
        }
        // Other programs take and give; so does swapping out, which moves no promise to the disk.
        process(120);
        meminfo(500);
        CHECK(budget.read().available == 600 * kMiB);
        process(70);
        meminfo(550);
        CHECK(budget.read().available == 600 * kMiB);
        // Less than at the start is no debt.
        process(5);
        CHECK(budget.read().available == 550 * kMiB);
    }

    TEST_CASE_FIXTURE(FakeSystem, "a setting bounds all that plans take, and what others see") {
        process(20);
        const MemoryBudget budget(300 * kMiB, root.folder);
        for (const std::uint64_t held : {0, 250}) {
            process(20 + held);
            meminfo(800 - held);
            CHECK(budget.read().total == 300 * kMiB);
            CHECK(budget.read().available == 300 * kMiB);
        }
        CHECK(MemoryBudget(5000 * kMiB, root.folder).read().total == 1000 * kMiB);
        write("proc/meminfo", "");
        CHECK(budget.read().available == 300 * kMiB);
    }

    // What the system says moves with what other programs do, so the process's side is looked at:
    // what it does not count is missing from the offer, and what it keeps is promised in vain.
    TEST_CASE(
        "a real plan's weights, cache and buffers are counted as they are taken and given back") {
        if (kInstrumented) {
            MESSAGE("skipped: memory cannot be counted here");
            return;
        }
        const SmallPages small_pages;
        ModelShape shape;
        shape.n_layers = 8;
        shape.n_kv_heads = 8;
        shape.head_dim = 64;
        shape.n_ff = 4096;
        shape.n_context = 4096;
        const TemporaryFolder folder;
        make_model(shape, folder.folder / "m.gguf");
        const auto model = open_model(folder.folder / "m.gguf");
        constexpr std::uint32_t kTokens = 2000;
        constexpr std::uint64_t kTolerance = 8 * kMiB;
        const std::uint64_t kv_bytes = std::uint64_t{2} * 8 * 8 * 64 * 4 * kTokens;

        std::mutex mutex;
        std::set<std::string> said;
        Recorder recorder;
        std::uint64_t own = 0;
        const auto taken = [&] { return private_bytes() - std::min(own, private_bytes()); };
        std::uint64_t half = 0;  // taken half-way through loading
        HeldBytes held;
        const auto say = [&](const std::string& what, mesh::PlanId id) {
            const std::lock_guard lock(mutex);
            said.insert(what + std::to_string(id.number));
        };
        EngineEvents callbacks;
        callbacks.loading = [&](mesh::PlanId, std::uint64_t done, std::uint64_t total) {
            if (half == 0 && done * 2 >= total) half = taken();
        };
        callbacks.loaded = [&](mesh::PlanId, HeldBytes bytes) { held = bytes; };
        callbacks.started = [&](mesh::PlanId id) { say("started ", id); };
        callbacks.ended = [&](mesh::PlanId id, const PlanOutcome&) { say("ended ", id); };
        callbacks.event = [&](JobId id, const mesh::messages::Event& event) {
            recorder.add(id, event);
        };
        EngineThread engine(choose_kernels("auto"), {}, nullptr, std::move(callbacks));
        const auto says = [&](const std::string& what) {
            return eventually([&] {
                const std::lock_guard lock(mutex);
                return said.contains(what);
            });
        };

        malloc_trim(0);  // what other tests have left is not given back while this one counts
        own = private_bytes();
        for (std::uint32_t plan = 1; plan <= 3; ++plan) {
            CAPTURE(plan);
            half = 0;
            if (plan > 1) engine.end(plan_id(plan - 1));
            engine.load(solo_spec(model, plan_id(plan), 4096));
            engine.start(plan_id(plan), plan, false);
            REQUIRE(says("started " + std::to_string(plan)));
            // At the least: malloc may give back meanwhile what was there before.
            CHECK(half + kTolerance > held.weights / 2);
            CHECK(half < held.weights + kTolerance);
            CHECK(taken() + kTolerance > held.weights);
            CHECK(taken() < held.weights + held.buffers + kTolerance);
            auto request = greedy("", 2);
            request.prompt_ids.assign(kTokens, 5);
            engine.submit(job_of(plan, request));
            REQUIRE(eventually([&] { return recorder.story(plan).over(); }));
            CHECK(taken() + kTolerance > held.weights + kv_bytes);
            CHECK(taken() < held.weights + kv_bytes + held.buffers + kTolerance);
            MESSAGE("taken MiB: " << taken() / kMiB << " of weights " << held.weights / kMiB
                                  << ", cache " << kv_bytes / kMiB << ", buffers at most "
                                  << held.buffers / kMiB);
        }
        engine.end(plan_id(3));
        REQUIRE(says("ended 3"));
        // malloc keeps the end of a thread's heap, where the last buffers were.
        CHECK(taken() < held.buffers + kTolerance / 2);
        MESSAGE("left MiB: " << static_cast<double>(taken()) / kMiB);
    }
}

}  // namespace memory_budget_test
