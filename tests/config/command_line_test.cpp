#include <doctest/doctest.h>

#include <vector>

#include "config/load.hpp"

namespace command_line_test {

using namespace shoal::config;

TEST_SUITE_BEGIN("config/command_line");

namespace {

CommandLine parse(std::vector<const char*> arguments) {
    return parse_command_line(arguments);
}

std::string error_of(std::vector<const char*> arguments) {
    try {
        static_cast<void>(parse_command_line(arguments));
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "no error";
}

}  // namespace

TEST_CASE("keys are flags, with their value after '=' or as the next argument") {
    const CommandLine line =
        parse({"--http.port=80", "--device.name", "pi", "--models.default=", "--cluster.peers=a,b",
               "--http.api_key=a=b"});
    CHECK(line.flags == Texts{{"http.port", "80"},
                              {"device.name", "pi"},
                              {"models.default", ""},
                              {"cluster.peers", "a,b"},
                              {"http.api_key", "a=b"}});
    CHECK(line.file.empty());
    CHECK_FALSE(line.help);
}

TEST_CASE("a boolean key alone means true and takes no argument") {
    const CommandLine line = parse({"--http.enabled", "--cluster.multicast=false", "--check"});
    CHECK(line.flags == Texts{{"http.enabled", "true"}, {"cluster.multicast", "false"}});
    CHECK(line.check);
}

TEST_CASE("the file, help and version have flags of their own") {
    CHECK(parse({"--config", "/a b.toml"}).file == "/a b.toml");
    CHECK(parse({"--config=/c.toml"}).file == "/c.toml");
    CHECK(parse({"--help"}).help);
    CHECK(parse({"-h"}).help);
    CHECK(parse({"--version"}).version);
    CHECK(parse({}).flags.empty());
    CHECK_FALSE(parse({"--check"}).cpu);
    CHECK(parse({"--cpu"}).cpu);
    CHECK(parse({"--take-boot-key"}).take_boot_key);
    CHECK_FALSE(parse({"--check"}).take_boot_key);
    CHECK_FALSE(parse({"--cpu"}).json);
    CHECK(parse({"--json", "--cpu"}).json);
    CHECK(error_of({"--json"}) == "--json: goes with --cpu only");
}

TEST_CASE("a repeated flag counts by its last value") {
    const CommandLine line = parse({"--http.port=80", "--http.port=81"});
    CHECK(parse_settings("", "f", {}, line.flags).http.port == 81);
}

TEST_CASE("anything else is refused with what to write instead") {
    CHECK(error_of({"--http.prot=5"}) ==
          "\"--http.prot\": unknown flag; did you mean --http.port?");
    CHECK(error_of({"--banana"}) == "\"--banana\": unknown flag; `shoald --help` lists every key");
    CHECK(error_of({"--chek"}) == "\"--chek\": unknown flag; did you mean --check?");
    CHECK(error_of({"--confg=x"}) == "\"--confg\": unknown flag; did you mean --config?");
    CHECK(error_of({"check"}) == "command line: \"check\" is not a flag; did you mean --check?");
    CHECK(error_of({"model.gguf"}).find("\"model.gguf\" is not a flag; write --config FILE") !=
          std::string::npos);
    CHECK(error_of({"-x"}).find("is not a flag") != std::string::npos);
    CHECK(error_of({""}).find("is not a flag") != std::string::npos);
    CHECK(error_of({"--"}).find("unknown flag") != std::string::npos);
    CHECK(error_of({"--http.port"}) == "--http.port: needs a value: --http.port=VALUE");
    CHECK(error_of({"--config"}) == "--config: needs a value: --config=VALUE");
    CHECK(error_of({"--config="}) == "--config: needs the name of a file");
}

TEST_SUITE_END();

}  // namespace command_line_test
