#include "config/keys.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "config/load.hpp"
#include "config/rules.hpp"

namespace keys_test {

using namespace shoal::config;

TEST_SUITE_BEGIN("config/keys");

namespace {

std::string read(const char* path) {
    std::ifstream in(path);
    std::stringstream content;
    content << in.rdbuf();
    return content.str();
}

}  // namespace

TEST_CASE("every key has a name of its own, a summary and a default within its own rules") {
    std::set<std::string_view> names;
    std::set<std::string> variables;
    for (const Key& key : keys()) {
        CAPTURE(key.name);
        CHECK(names.insert(key.name).second);
        CHECK(variables.insert(environment_name(key)).second);
        CHECK(std::regex_match(std::string(key.name), std::regex("[a-z]+\\.[a-z_]+")));
        CHECK(key.summary.size() > 10);
        CHECK(key.summary.ends_with('.'));
        CHECK_FALSE(problem(key, default_value(key)));
    }
    CHECK_FALSE(broken_rule(Settings{}));
}

TEST_CASE("no two keys share a member of Settings") {
    for (const Key& written : keys()) {
        Settings settings;
        Value other = default_value(written);
        if (auto* flag = std::get_if<bool>(&other)) *flag = !*flag;
        if (auto* number = std::get_if<std::int64_t>(&other)) *number += 1;
        if (auto* list = std::get_if<std::vector<std::string>>(&other)) list->push_back("other");
        if (auto* text = std::get_if<std::string>(&other)) {
            *text = written.choices.empty() ? "other" : std::string(written.choices[1]);
            if (*text == std::get<std::string>(default_value(written))) *text = written.choices[0];
        }
        written.assign(written, settings, other);
        for (const Key& key : keys()) {
            CAPTURE(written.name);
            CAPTURE(key.name);
            CHECK((key.read(key, settings) == default_value(key)) == (key.name != written.name));
        }
    }
}

TEST_CASE("every choice comes back as the name it was given by") {
    for (const Key& key : keys()) {
        for (const auto choice : key.choices) {
            Settings settings;
            key.assign(key, settings, std::string(choice));
            CHECK(std::get<std::string>(key.read(key, settings)) == choice);
        }
    }
    CHECK(std::string_view(name(KvType::automatic)) == "auto");
    CHECK(std::string_view(name(KvType::q8_0)) == "q8_0");
    CHECK(std::string_view(name(Collectives::f16)) == "f16");
    CHECK(std::string_view(name(LogLevel::debug)) == "debug");
}

TEST_CASE("config/shoald.toml is what the table of keys says") {
    // When this fails after a change of a key: write the new text with
    // `SHOAL_WRITE_EXAMPLE=1 config_test -tc='config/shoald.toml*'` and read the difference.
    if (std::getenv("SHOAL_WRITE_EXAMPLE") != nullptr) {
        std::ofstream(SHOAL_EXAMPLE_FILE) << example_file();
    }
    CHECK(read(SHOAL_EXAMPLE_FILE) == example_file());
}

TEST_CASE("the manual page of shoald.toml is what the table of keys says") {
    // When this fails: as above, with SHOAL_WRITE_EXAMPLE=1 and -tc='the manual page*'.
    if (std::getenv("SHOAL_WRITE_EXAMPLE") != nullptr) {
        std::ofstream(SHOAL_MANUAL_PAGE) << manual_page();
    }
    CHECK(read(SHOAL_MANUAL_PAGE) == manual_page());
    // A line that begins with one of these is a request to troff, and we make only those.
    std::istringstream lines(manual_page());
    for (std::string line; std::getline(lines, line);) {
        CAPTURE(line);
        CHECK_FALSE(line.empty());
        CHECK_FALSE(line.starts_with("'"));
        if (line.starts_with('.')) {
            CHECK(std::regex_search(line, std::regex("^\\.(TH|SH|TP|PP|B|BR|RB|I)\\b")));
        }
    }
}

TEST_CASE("keys that a reload applies are told, and what differs is found") {
    const auto live = [](std::string_view name) {
        const Key* key = find_key(name);
        REQUIRE(key != nullptr);
        return is_live(*key);
    };
    for (const char* name : {"log.level", "plan.exclude", "plan.min_devices", "models.directories",
                             "models.default", "http.allowed_origins"}) {
        CAPTURE(name);
        CHECK(live(name));
    }
    // A secret that guards a listener goes with the listener.
    for (const char* name : {"http.listen", "http.api_key", "cluster.port", "device.state_dir"}) {
        CAPTURE(name);
        CHECK_FALSE(live(name));
    }
    Settings settings;
    CHECK(changed_keys({}, settings).empty());
    settings.http.port = 1;
    settings.log.level = LogLevel::debug;
    const auto changed = changed_keys({}, settings);
    REQUIRE(changed.size() == 2);
    CHECK(changed[0]->name == "http.port");
    CHECK(changed[1]->name == "log.level");
}

TEST_CASE("the cluster's key is the one that is named, or in the state folder") {
    Settings settings;
    CHECK(cluster_key_file(settings) == "/var/lib/shoal/cluster.key");
    settings.device.state_dir = "/state";
    CHECK(cluster_key_file(settings) == "/state/cluster.key");
    settings.cluster.key_file = "/keys/mine";
    CHECK(cluster_key_file(settings) == "/keys/mine");
}

TEST_CASE("the example names every key once and gives defaults when uncommented") {
    const std::string text = read(SHOAL_EXAMPLE_FILE);
    std::string active;
    std::size_t assignments = 0;
    std::istringstream lines(text);
    const std::regex assignment("#([a-z_]+ = .*)");
    for (std::string line; std::getline(lines, line);) {
        CHECK(line.size() <= 100);
        std::smatch match;
        if (std::regex_match(line, match, assignment)) {
            line = match[1];
            ++assignments;
        }
        active += line + '\n';
    }
    CHECK(assignments == keys().size());
    const Settings settings = parse_settings(active, "/etc/shoal/shoald.toml", {}, {});
    for (const Key& key : keys()) {
        CAPTURE(key.name);
        CHECK(key.read(key, settings) == default_value(key));
    }
    // As it is installed it changes nothing.
    const Settings installed = parse_settings(text, "/etc/shoal/shoald.toml", {}, {});
    for (const Key& key : keys()) CHECK(key.read(key, installed) == default_value(key));
}

TEST_CASE("the help names every key with its flag, variable, default and range") {
    const std::string help = help_text();
    for (const char* flag : {"--config FILE", "--check", "--cpu", "--json", "--take-boot-key",
                             "--version", "--help"}) {
        CHECK(help.find(flag) != std::string::npos);
    }
    std::string flat = std::regex_replace(help, std::regex("\\s+"), " ");
    for (const Key& key : keys()) {
        CAPTURE(key.name);
        CHECK(help.find("--" + std::string(key.name) + '=' + toml_text(key, default_value(key)) +
                        '\n') != std::string::npos);
        CHECK(flat.find(environment_name(key) + '.') != std::string::npos);
        CHECK(flat.find("Takes " + allowed(key)) != std::string::npos);
        CHECK(flat.find(key.summary) != std::string::npos);
    }
}

TEST_CASE("the nearest key is found for small mistakes only") {
    const auto near = [](std::string_view name) {
        const Key* key = nearest_key(name);
        return key == nullptr ? std::string_view("none") : key->name;
    };
    CHECK(near("http.prot") == "http.port");
    CHECK(near("cluster.beacon-port") == "cluster.beacon_port");
    CHECK(near("models.directory") == "models.directories");
    CHECK(near("device.key_file") == "cluster.key_file");
    CHECK(near("heartbeat_ms") == "cluster.heartbeat_ms");
    CHECK(near("cluster.banana") == "none");
    CHECK(near("") == "none");
    CHECK(near(std::string(100'000, 'x')) == "none");
}

TEST_SUITE_END();

}  // namespace keys_test
