#include "config/load.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "config/keys.hpp"

namespace load_test {

using namespace shoal::config;

TEST_SUITE_BEGIN("config/load");

namespace {

/// The message of the ConfigError that `parse` must give.
std::string error_of(std::string_view toml, const Texts& environment = {},
                     const Texts& flags = {}) {
    try {
        static_cast<void>(parse_settings(toml, "dir/shoald.toml", environment, flags));
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "no error";
}

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

/// Three valid values for a key, in the form of a flag's text.
std::array<std::string, 3> three_values(const Key& key) {
    static const std::map<std::string_view, std::array<std::string, 3>> kSpecial = {
        {"cluster.bind", {"10.0.0.1", "::1", "10.0.0.2"}},
        {"http.listen", {"127.0.0.2", "::1", "localhost"}},
        {"http.allowed_origins", {"https://one", "http://two:3", "chrome-extension://three"}},
        {"http.api_key", {"aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", "cccccccccccccccc"}},
    };
    if (const auto found = kSpecial.find(key.name); found != kSpecial.end()) return found->second;
    switch (key.kind) {
        case Kind::boolean: {
            const bool usual = std::get<bool>(default_value(key));
            const char* other = usual ? "false" : "true";
            return {other, usual ? "true" : "false", other};
        }
        case Kind::integer:
        case Kind::bytes: {
            const auto usual = std::get<std::int64_t>(default_value(key));
            const std::int64_t step = usual + 3 <= key.max ? 1 : -1;
            return {std::to_string(usual + step), std::to_string(usual + 2 * step),
                    std::to_string(usual + 3 * step)};
        }
        case Kind::choice:
            return {std::string(key.choices[1]), std::string(key.choices[2 % key.choices.size()]),
                    std::string(key.choices[3 % key.choices.size()])};
        case Kind::text:
        case Kind::text_list:
            if (key.name == "plan.share") return {"one=0.1", "two=0.2", "three=0.3"};
            return {"one", "two", "three"};
        case Kind::path:
        case Kind::path_list:
            return {"/one", "/two", "/three"};
    }
    return {};
}

/// `[section]` and the assignment that the text of a flag means.
std::string toml_of(const Key& key, const std::string& text) {
    return '[' + std::string(section(key)) + "]\n" +
           std::string(key.name.substr(section(key).size() + 1)) + " = " +
           toml_text(key, *parse_text(key, text)) + '\n';
}

struct TempDir {
    TempDir() {
        char pattern[] = "/tmp/shoal-config-XXXXXX";
        REQUIRE(mkdtemp(pattern) != nullptr);
        path = pattern;
    }
    ~TempDir() { std::filesystem::remove_all(path); }
    std::string write(const std::string& name, const std::string& content) const {
        std::ofstream(path + '/' + name, std::ios::binary) << content;
        return path + '/' + name;
    }
    std::string path;
};

}  // namespace

TEST_CASE("for every key a flag goes before the environment, that before the file") {
    for (const Key& key : keys()) {
        CAPTURE(key.name);
        const auto [in_file, in_environment, in_flag] = three_values(key);
        const std::string toml = toml_of(key, in_file);
        const Texts environment = {{environment_name(key), in_environment}};
        const Texts flags = {{std::string(key.name), in_flag}};
        const auto value = [&](const Texts& variables, const Texts& given) {
            return key.read(key, parse_settings(toml, "/etc/shoald.toml", variables, given));
        };
        CHECK(value({}, {}) == *parse_text(key, in_file));
        CHECK(value(environment, {}) == *parse_text(key, in_environment));
        CHECK(value(environment, flags) == *parse_text(key, in_flag));
        CHECK(value({}, flags) == *parse_text(key, in_flag));
    }
}

TEST_CASE("for every key a value of another type is refused with line, key and range") {
    const std::map<std::string, std::set<Kind>> values = {
        {"true", {Kind::boolean}},
        {"1", {Kind::integer, Kind::bytes}},
        {"1.5", {}},
        {"\"text\"", {Kind::text, Kind::path, Kind::choice}},
        {"[\"text\"]", {Kind::text_list, Kind::path_list}},
        {"[1]", {}},
        {"[[]]", {}},
        {"{a = 1}", {}},
        {"2020-01-01", {}},
        {"12:30:00", {}},
    };
    for (const Key& key : keys()) {
        for (const auto& entry : values) {
            if (entry.second.contains(key.kind)) continue;
            const std::string& text = entry.first;
            CAPTURE(key.name);
            CAPTURE(text);
            const std::string name(key.name);
            const std::string error = error_of("\n\n" + name + " = " + text);
            CHECK(error.starts_with("dir/shoald.toml:3: " + name + ": "));
            CHECK(contains(error, allowed(key)));
        }
    }
}

TEST_CASE("for every number the range ends where the table says") {
    for (const Key& key : keys()) {
        if (key.kind != Kind::integer && key.kind != Kind::bytes) continue;
        CAPTURE(key.name);
        for (const std::int64_t beyond : {key.min - 1, key.max + 1}) {
            const std::string error =
                error_of(std::string(key.name) + " = " + std::to_string(beyond));
            CHECK(contains(error, ":1: " + std::string(key.name) + ": " + std::to_string(beyond) +
                                      " is out of range; allowed: " + allowed(key)));
        }
        CHECK_FALSE(problem(key, key.min));
        CHECK_FALSE(problem(key, key.max));
    }
}

TEST_CASE("sizes in the file may have units") {
    const Settings settings = parse_settings("device.memory_limit_bytes = \"6GiB\"", "f", {}, {});
    CHECK(settings.device.memory_limit_bytes == std::uint64_t{6} << 30);
    CHECK(contains(error_of("device.memory_limit_bytes = \"6 pounds\""),
                   ":1: device.memory_limit_bytes: \"6 pounds\" is not a size; allowed: 0.."));
}

TEST_CASE("unknown names are refused with the line and the likeliest key") {
    CHECK(error_of("[http]\n\nprot = 5") ==
          "dir/shoald.toml:3: \"http.prot\": unknown key; did you mean http.port?");
    CHECK(error_of("port = 5").starts_with("dir/shoald.toml:1: \"port\": unknown key; did you"));
    CHECK(contains(error_of("[htpp]\nport = 5"),
                   "dir/shoald.toml:1: \"htpp\": unknown section; the sections are [device], "
                   "[cluster], [control], [models], [plan], [http], [log]"));
    CHECK(contains(error_of("[http]\nbanana = 5"), "`shoald --help` lists every key"));
    CHECK(error_of("http = 5") ==
          "dir/shoald.toml:1: http: is a section; write [http] and its keys below");
    CHECK(contains(error_of("[[http]]\nport = 5"), "http: is a section"));
    CHECK(error_of("", {{"SHOAL_HTTP_PROT", "5"}}) ==
          "\"SHOAL_HTTP_PROT\": unknown key; did you mean SHOAL_HTTP_PORT?");
    CHECK(error_of("", {}, {{"http.prot", "5"}}) ==
          "--http.prot: unknown key; did you mean --http.port?");
}

TEST_CASE("variables of other programs are left alone") {
    CHECK(error_of("", {{"SHOAL_SOCKET", "x"}, {"SHOAL_REFERENCE", "y"}, {"HOME", "/"}}) ==
          "no error");
}

TEST_CASE("broken files are refused with the line") {
    CHECK(error_of("[http]\nport = ").starts_with("dir/shoald.toml:2: "));
    CHECK(error_of("[http]\nport = 1\nport = 2").starts_with("dir/shoald.toml:3: "));
    CHECK(error_of("\n\n[http").starts_with("dir/shoald.toml:3: "));
    CHECK(error_of("http.port = 99999999999999999999").starts_with("dir/shoald.toml:1: "));
    CHECK(error_of("a = \"\xff\"").starts_with("dir/shoald.toml:1: "));
    CHECK(error_of("a = " + std::string(5000, '[')).starts_with("dir/shoald.toml:1: "));
}

TEST_CASE("unusable texts name their flag or variable") {
    CHECK(error_of("", {{"SHOAL_HTTP_PORT", "80x"}}) ==
          "SHOAL_HTTP_PORT: http.port: \"80x\" is not usable; allowed: 0..65535 (TCP port)");
    CHECK(error_of("", {}, {{"log.level", "loud"}}) ==
          "--log.level: log.level: \"loud\" is not known; allowed: one of error, warn, info, "
          "debug");
    CHECK(error_of("", {}, {{"device.state_dir", ""}}) ==
          "--device.state_dir: device.state_dir: must not be empty");
}

TEST_CASE("relative paths start at the file's folder, or where a flag was given") {
    Settings settings = parse_settings("[models]\ndirectories = [\"m\", \"/abs\", \"../up\"]",
                                       "/etc/shoal/shoald.toml", {}, {});
    CHECK(settings.models.directories ==
          std::vector<std::string>{"/etc/shoal/m", "/abs", "/etc/up"});
    settings = parse_settings("", "/etc/shoal/shoald.toml", {}, {{"control.socket", "c.sock"}});
    CHECK(settings.control.socket == std::filesystem::current_path().string() + "/c.sock");
    settings = parse_settings("http.api_key_file = \"\"", "/etc/shoal/shoald.toml", {}, {});
    CHECK(settings.http.api_key_file.empty());
}

TEST_CASE("a socket's path must fit the operating system") {
    const std::string fits = '/' + std::string(106, 's');
    CHECK(error_of("control.socket = \"" + fits + "\"") == "no error");
    CHECK(contains(error_of("control.socket = \"" + fits + "s\""), "108 bytes long; at most 107"));
    const std::string deep = '/' + std::string(60, 'd') + "/shoald.toml";
    CHECK_THROWS_WITH_AS(static_cast<void>(parse_settings(
                             "control.socket = \"" + std::string(60, 's') + "\"", deep, {}, {})),
                         doctest::Contains("as an absolute path it is 122 bytes"), ConfigError);
}

TEST_CASE("times of the cluster must grow, and the blame is where a value was said") {
    CHECK(error_of("[cluster]\nheartbeat_ms = 1500") ==
          "dir/shoald.toml:2: cluster.heartbeat_ms: suspect_ms is 2000 ms, but must be at least "
          "twice heartbeat_ms (1500 ms), or one lost heartbeat makes a device suspect");
    CHECK(error_of("[cluster]\nsuspect_ms = 3000", {}, {{"cluster.dead_ms", "3000"}}) ==
          "--cluster.dead_ms: cluster.dead_ms: dead_ms is 3000 ms, but must be more than "
          "suspect_ms (3000 ms)");
}

TEST_CASE("HTTP beyond loopback requires an api_key") {
    const std::string error = error_of("[http]\nport = 80\nlisten = \"0.0.0.0\"");
    CHECK(error.starts_with("dir/shoald.toml:3: http.listen: "));
    CHECK(contains(error, "an api_key is required"));
    CHECK(contains(error, "http.api_key_file"));
    CHECK(error_of("[http]\nlisten = \"0.0.0.0\"\napi_key = \"0123456789abcdef\"") == "no error");
    CHECK(error_of("[http]\nlisten = \"0.0.0.0\"\napi_key_file = \"k\"") == "no error");
    CHECK(error_of("[http]\nlisten = \"0.0.0.0\"\nenabled = false") == "no error");
    CHECK(contains(error_of("[http]\nlisten = \"::\"\n"), "an api_key is required"));
    CHECK(contains(error_of("[http]\napi_key = \"0123456789abcdef\"\napi_key_file = \"k\""),
                   "dir/shoald.toml:3: http.api_key_file: api_key and api_key_file are both set"));
}

TEST_CASE("an unusable api_key is never quoted") {
    const std::string error = error_of("http.api_key = \"hunter2\"");
    CHECK(contains(error, "http.api_key: is too short"));
    CHECK_FALSE(contains(error, "hunter2"));
}

TEST_CASE("files are read, and their absence or size is an error when they were named") {
    const TempDir dir;
    const std::string file = dir.write("a.toml", "[log]\nlevel = \"warn\"\n");
    CHECK(load_settings({file, {}, {}}).log.level == LogLevel::warn);
    CHECK(load_settings({"", {{"SHOAL_CONFIG", file}}, {}}).log.level == LogLevel::warn);
    const std::string other = dir.write("b.toml", "[log]\nlevel = \"debug\"\n");
    CHECK(load_settings({other, {{"SHOAL_CONFIG", file}}, {}}).log.level == LogLevel::debug);

    const auto error = [](const std::string& path) -> std::string {
        try {
            static_cast<void>(load_settings({path, {}, {}}));
        } catch (const ConfigError& thrown) {
            return thrown.what();
        }
        return "no error";
    };
    CHECK(error(dir.path + "/none.toml") ==
          dir.path + "/none.toml: cannot open the configuration file: No such file or directory");
    CHECK(contains(error(dir.path), "the configuration file is a folder"));
    const std::string large = dir.write("c.toml", std::string(kMaxFileBytes + 1, '#'));
    CHECK(contains(error(large), "larger than 1048576 bytes"));
    const std::string whole = dir.write("d.toml", std::string(kMaxFileBytes, '#'));
    CHECK(error(whole) == "no error");
}

TEST_CASE("the api_key is taken from its file") {
    const TempDir dir;
    const auto key_from = [&](const std::string& content) {
        dir.write("key", content);
        const std::string file = dir.write("a.toml", "http.api_key_file = \"key\"");
        return load_settings({file, {}, {}}).http.api_key;
    };
    CHECK(key_from("0123456789abcdef\n") == "0123456789abcdef");
    CHECK(key_from("0123456789abcdef\r\n") == "0123456789abcdef");
    CHECK_THROWS_WITH_AS(key_from("\n"), doctest::Contains("the file is empty"), ConfigError);
    CHECK_THROWS_WITH_AS(key_from("tiny\n"), doctest::Contains("is too short"), ConfigError);
    CHECK_THROWS_WITH_AS(key_from("0123456789abcdef\nsecond"), doctest::Contains("visible ASCII"),
                         ConfigError);
    CHECK_THROWS_WITH_AS(key_from(std::string(2000, 'a')), doctest::Contains("larger than"),
                         ConfigError);
    std::filesystem::remove(dir.path + "/key");
    CHECK_THROWS_WITH_AS(load_settings({dir.path + "/a.toml", {}, {}}),
                         doctest::Contains("cannot open the file of http.api_key_file"),
                         ConfigError);
}

TEST_SUITE_END();

}  // namespace load_test
