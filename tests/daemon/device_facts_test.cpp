#include "daemon/device_facts.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "config/load.hpp"

namespace device_facts_test {

using namespace shoal;

namespace {

std::string error_of(const std::string& cpu) {
    try {
        static_cast<void>(choose_kernels(cpu));
    } catch (const config::ConfigError& error) {
        return error.what();
    }
    return "no error";
}

// An instruction set of another family of CPUs.
constexpr const char* kForeign =
#ifdef __x86_64__
    "neon";
#else
    "avx2";
#endif

config::DeviceSettings with(const config::Texts& environment, const config::Texts& flags = {}) {
    return config::parse_settings("[device]\ncpu = \"auto\"\n", "f.toml", environment, flags)
        .device;
}

}  // namespace

TEST_SUITE("device facts") {
    TEST_CASE("every instruction set of this CPU can be forced by its name") {
        for (const kernels::Isa isa : kernels::kIsas) {
            const kernels::Table* table = kernels::table_for(isa);
            if (table == nullptr) continue;
            CHECK(&choose_kernels(kernels::name(isa)) == table);
        }
        CHECK(&choose_kernels("auto") == kernels::table_for(kernels::best_isa()));
    }

    TEST_CASE("names that cannot be had are refused with those that can") {
        const std::string unknown = error_of("sse9");
        CHECK(unknown.find("device.cpu: \"sse9\" is no instruction set that I know") == 0);
        const std::string foreign = error_of(kForeign);
        CHECK(foreign.find(std::string(kForeign) + "\" is not an instruction set of this CPU") !=
              std::string::npos);
        for (const std::string& message : {unknown, foreign}) {
            for (const kernels::Isa isa : kernels::kIsas) {
                const std::string listed = std::string(", ") + kernels::name(isa);
                CHECK((message.find(listed, message.find("use one of auto")) !=
                       std::string::npos) == (kernels::table_for(isa) != nullptr));
            }
        }
        CHECK(error_of("") != "no error");
        CHECK(error_of("AVX2") != "no error");
    }

    TEST_CASE("flag, environment and file choose, in this order") {
        CHECK(with({}).cpu == "auto");
        CHECK(with({{"SHOAL_DEVICE_CPU", "ref"}}).cpu == "ref");
        CHECK(with({{"SHOAL_DEVICE_CPU", "ref"}}, {{"device.cpu", "avx2"}}).cpu == "avx2");
    }

    TEST_CASE("what computes is shown to people and programs") {
        auto settings = with({{"SHOAL_DEVICE_CPU", "ref"}, {"SHOAL_DEVICE_THREADS", "3"}});
        const std::string text = cpu_text(settings);
        CHECK(text.find("ref          chosen\n") != std::string::npos);
        CHECK(text.find(std::string(kForeign) +
                        std::string(13 - std::string(kForeign).size(), ' ') + "not here\n") !=
              std::string::npos);
        CHECK(text.find("Threads        3 (device.threads)\n") != std::string::npos);

        settings = {};
        const auto json = nlohmann::json::parse(cpu_json(settings));
        CHECK(json["cpu"] == kernels::name(kernels::best_isa()));
        CHECK(json["instruction_sets"].size() == std::size(kernels::kIsas));
        for (const auto& set : json["instruction_sets"]) {
            if (set["name"] == json["cpu"]) CHECK(set["here"] == true);
            if (set["name"] == kForeign) CHECK(set["here"] == false);
        }
        CHECK(json["threads"] == place_threads(0).threads);
        CHECK(json["threads"].get<std::size_t>() == json["cpus"].size());
        settings.cpu = "sse9";
        CHECK_THROWS_AS(static_cast<void>(cpu_text(settings)), config::ConfigError);
        CHECK_THROWS_AS(static_cast<void>(cpu_json(settings)), config::ConfigError);
    }

    TEST_CASE("the speed is measured outside the caches where the memory allows it") {
        constexpr std::uint64_t kMiB = 1 << 20;
        CHECK(speed_matrix_bytes(32 * kMiB, 16'000 * kMiB) == 64 * kMiB);
        CHECK(speed_matrix_bytes(300 * kMiB, 16'000 * kMiB) == 128 * kMiB);
        CHECK(speed_matrix_bytes(2 * kMiB, 16'000 * kMiB) == 16 * kMiB);
        CHECK(speed_matrix_bytes(0, 16'000 * kMiB) == 16 * kMiB);
        // A board of 512 MiB, one that is all but full, and one that does not tell.
        CHECK(speed_matrix_bytes(32 * kMiB, 400 * kMiB) == 50 * kMiB);
        CHECK(speed_matrix_bytes(2 * kMiB, 80 * kMiB) == 10 * kMiB);
        CHECK(speed_matrix_bytes(2 * kMiB, 1) == kMiB);
        CHECK(speed_matrix_bytes(2 * kMiB, 0) == 16 * kMiB);
    }

    TEST_CASE("a device's speed is a power of the square root of two") {
        const double speed = measure_speed(kernels::reference(), {1, {}, {}});
        const double steps = std::log2(speed) * 2;
        CHECK(speed > 1e6);
        CHECK(std::abs(steps - std::round(steps)) < 1e-6);
    }
}

}  // namespace device_facts_test
