#include "daemon/measure/record.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <string>

namespace shoal::tests {

using measure::Conditions;
using measure::Record;

namespace {

Record sample() {
    Record record;
    record.profile = planner::DeviceProfile::guess(3e9);
    record.conditions = {"Cortex-A76 \"B\"", "dotprod", 4, {3, 2, 1, 0}, 8ULL << 30, "0.1.0"};
    record.date = "2026-11-29T16:40:00Z";
    return record;
}

bool is_refused(const std::string& text) {
    try {
        static_cast<void>(measure::from_text(text));
    } catch (const std::runtime_error& error) {
        return std::string(error.what()) != "";
    }
    return false;
}

// The sample with something changed.
template <typename Fn>
std::string changed(const Fn& change) {
    auto json = nlohmann::json::parse(measure::to_text(sample()));
    change(json);
    return json.dump();
}

}  // namespace

TEST_CASE("a record is what it was after it was text, to the last bit") {
    Record record = sample();
    record.profile.layer_seconds = 1.0 / 3e5;
    record.profile.rates[2].in_file = 1e11 / 7;
    CHECK(measure::from_text(measure::to_text(record)) == record);
}

TEST_CASE("a record that is cut off anywhere is refused") {
    const std::string text = measure::to_text(sample());
    for (std::size_t n = 0; n + 1 < text.size(); ++n) CHECK(is_refused(text.substr(0, n)));
}

TEST_CASE("what is no record is refused with a reason") {
    using Json = nlohmann::json;
    const std::string bad[] = {
        "",
        "null",
        "7",
        "[]",
        "{}",
        "\xff\xfe",
        std::string(3000, '['),
        changed([](Json& j) { j["format"] = 2; }),
        changed([](Json& j) { j["format"] = -1; }),
        changed([](Json& j) { j["format"] = "1"; }),
        changed([](Json& j) { j.erase("date"); }),
        changed([](Json& j) { j["date"] = 3; }),
        changed([](Json& j) { j["date"] = std::string(257, '2'); }),
        changed([](Json& j) { j["profile"] = nullptr; }),
        changed([](Json& j) { j["profile"]["products"].erase("q4"); }),
        changed([](Json& j) { j["profile"]["products"]["q4"].erase("one_row"); }),
        changed([](Json& j) { j["profile"]["products"]["q4"]["one_row"] = 0; }),
        changed([](Json& j) { j["profile"]["products"]["q4"]["one_row"] = -1e9; }),
        changed([](Json& j) { j["profile"]["products"]["k"]["in_file"] = "1e9"; }),
        changed([](Json& j) { j["profile"]["attend_one"] = 1e300; }),
        changed([](Json& j) { j["profile"]["elements"] = nullptr; }),
        changed([](Json& j) { j["profile"]["layer_seconds"] = 11; }),
        changed([](Json& j) { j["conditions"]["threads"] = -1; }),
        changed([](Json& j) { j["conditions"]["threads"] = 1ULL << 32; }),
        changed([](Json& j) { j["conditions"]["threads"] = 1.5; }),
        changed([](Json& j) { j["conditions"]["cpus"] = 3; }),
        changed([](Json& j) { j["conditions"]["cpus"] = std::vector<int>(4097, 1); }),
        changed([](Json& j) { j["conditions"]["cpus"][0] = -1; }),
        changed([](Json& j) { j["conditions"]["cpu"] = Json::array(); }),
    };
    for (const std::string& text : bad) {
        CAPTURE(text.substr(0, 80));
        CHECK(is_refused(text));
    }
}

TEST_CASE("random damage gives a plausible record or a refusal") {
    const std::string text = measure::to_text(sample());
    std::minstd_rand random(5);
    for (int i = 0; i < 2000; ++i) {
        std::string damaged = text;
        for (int k = 0; k < 3; ++k) {
            damaged[random() % damaged.size()] = static_cast<char>(random() % 256);
        }
        bool fine = true;
        try {
            fine = planner::plausible(measure::from_text(damaged).profile);
        } catch (const std::runtime_error&) {
        }
        CHECK(fine);
    }
}

TEST_CASE("conditions are the same but for what the kernel keeps of the memory") {
    const Conditions now = sample().conditions;
    const auto other = [&](const auto& change) {
        Conditions c = now;
        change(c);
        CHECK(c.same_as(now) == now.same_as(c));
        return !c.same_as(now);
    };
    CHECK_FALSE(other([](Conditions&) {}));
    CHECK_FALSE(other([](Conditions& c) { c.memory_total -= c.memory_total / 64; }));
    CHECK(other([](Conditions& c) { c.memory_total /= 2; }));
    CHECK(other([](Conditions& c) { c.memory_total = 0; }));
    CHECK(other([](Conditions& c) { c.cpu = "Cortex-A53"; }));
    CHECK(other([](Conditions& c) { c.isa = "neon"; }));
    CHECK(other([](Conditions& c) { c.threads = 3; }));
    CHECK(other([](Conditions& c) { c.cpus.pop_back(); }));
    CHECK(other([](Conditions& c) { c.version = "0.2.0"; }));
}

TEST_CASE("a CPU is called what the system calls it, and a board what its maker does") {
    CHECK(measure::cpu_model("processor\t: 0\nmodel name\t: AMD EPYC \nflags: a\n", "") ==
          "AMD EPYC");
    CHECK(measure::cpu_model("Model\t\t: x\n", std::string_view("Raspberry Pi 5 Model B\0", 23)) ==
          "Raspberry Pi 5 Model B");
    CHECK(measure::cpu_model("model name", "") == "");
    CHECK(measure::cpu_model("", "") == "");
    CHECK(measure::cpu_model("model name: \xff\x01z", "") == "??z");
    CHECK(measure::cpu_model("model name: " + std::string(9000, 'x'), "").size() == 256);
}

}  // namespace shoal::tests
