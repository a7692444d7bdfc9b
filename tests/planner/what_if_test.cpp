// Files that describe devices, and what is said of those that do not.
#include "daemon/planner/what_if.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "daemon/planner/report.hpp"

namespace shoal::tests {
namespace {

const std::string kModel = R"([model]
layers = 32
width = 4096
heads = 32
kv_heads = 8
ffn = 14336
vocabulary = 128256
)";
const std::string kDevices = R"([[device]]
name = "pi5"
count = 4
memory_gb = 7
gigabytes_per_second = 11
)";

std::string refusal(const std::string& text) {
    try {
        static_cast<void>(planner::read_what_if(text, "boards.toml"));
    } catch (const planner::WhatIfError& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("a file says model, devices, links and what is to be shown") {
    const planner::WhatIf what_if = planner::read_what_if(
        kModel +
            "[link]\nexchange_us = 113\nmegabytes_per_second = 50\n[plan]\ncontext = 1024\n"
            "counts = [1, 4]\npositions = [0, 100]\nprompt = 7\nmin_devices = 2\n" +
            kDevices,
        "boards.toml");
    REQUIRE(what_if.model);
    CHECK(what_if.model->head_dim == 128);
    CHECK(what_if.cluster.devices.size() == 4);
    CHECK(what_if.cluster.devices[3].memory_bytes == 7'000'000'000);
    CHECK(what_if.cluster.devices[0].profile.of(planner::Family::q4).one_row ==
          doctest::Approx(11e9));
    CHECK(what_if.cluster.usual.exchange_seconds == doctest::Approx(113e-6));
    CHECK(what_if.cluster.usual.bytes_per_second == doctest::Approx(50e6));
    CHECK(what_if.context == 1024);
    CHECK(what_if.counts == std::vector<std::uint32_t>{1, 4});
    CHECK(what_if.positions == std::vector<double>{0, 100});
    CHECK(what_if.prompt == 7);

    const planner::ShapedModel model = planner::model_of(*what_if.model);
    const planner::Report report =
        planner::report(model.header, model.hparams, what_if.cluster,
                        planner::terms_of(what_if, model.hparams), what_if.positions, 7);
    REQUIRE(report.counts.size() == 4);
    CHECK(report.counts[3].chosen);
    CHECK(report.counts[3].decode[0] > report.counts[0].decode[0]);
    CHECK(report.counts[3].decode[1] < report.counts[3].decode[0]);
    double parts = 0;
    for (const auto& device : report.devices) parts += device.part;
    CHECK(parts == doctest::Approx(1));
}

TEST_CASE("what is wrong in a file is said with its line") {
    const std::vector<std::pair<std::string, std::string>> cases{
        {"", "device: is missing"},
        {"device = 3", "boards.toml:1: device: is missing"},
        {"[[device]]\nname = 3\ngigabytes_per_second = 1", "boards.toml:2: device.name: a text"},
        {"[[device]]", "device.gigabytes_per_second: is missing"},
        {"[[device]]\ngigabytes_per_second = 0", "boards.toml:2: device.gigabytes_per_second"},
        {"[[device]]\ngigabytes_per_second = nan", "a number from"},
        {"[[device]]\ngigabytes_per_second = \"11\"", "a number from"},
        {kDevices + "colour = 1", "boards.toml:6: device.colour: no such key"},
        {kDevices + "[[device]]\ncount = 1024\ngigabytes_per_second = 1", "more than 1024"},
        {"[model]\nlayers = 32.5\n" + kDevices, "model.layers: a whole number"},
        {"[model]\nlayers = 32\n" + kDevices, "model.width: is missing"},
        {kModel + "type = \"q9\"\n" + kDevices, "model.type: no type of weights; known are f32"},
        {kModel + "[plan]\ncounts = []\n" + kDevices, "plan.counts: a list"},
        {kModel + "[plan]\ncounts = [-1]\n" + kDevices, "plan.counts: a list"},
        {kModel + "[link]\nspeed = 1\n" + kDevices, "known are exchange_us"},
        {"link = 3\n" + kDevices, "link: a table belongs here"},
        {"[[[", "boards.toml:1: "},
    };
    for (const auto& each : cases) {
        CAPTURE(each.first);
        const std::string said = refusal(each.first);
        CAPTURE(said);
        CHECK(said.find(each.second) != std::string::npos);
    }
}

TEST_CASE("a shape that no file could have is refused") {
    planner::Shape shape{"odd", 2, 100, 4, 2, 25, 64, 100};
    CHECK_THROWS_AS(static_cast<void>(planner::model_of(shape)), model::ModelError);
    shape.dim = 128;
    shape.n_kv_heads = 3;
    CHECK_THROWS_AS(static_cast<void>(planner::model_of(shape)), model::ModelError);
}

}  // namespace shoal::tests
