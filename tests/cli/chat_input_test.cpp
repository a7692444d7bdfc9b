// What is typed in a chat: messages of several lines, commands, settings, and their history.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <fstream>

#include "cli/chat_command.hpp"
#include "cli/chat_settings.hpp"
#include "cli/composer.hpp"
#include "cli/exit_codes.hpp"
#include "cli/history.hpp"
#include "tests/cli/fake_daemon.hpp"

namespace chat_input_test {

using namespace shoal::cli;

TEST_SUITE_BEGIN("cli/chat_input");

namespace {

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

template <typename Call>
std::string error_of(Call call) {
    try {
        call();
    } catch (const Error& error) {
        CHECK(error.code() == kUsage);
        return error.what();
    }
    return "none";
}

}  // namespace

TEST_CASE("a backslash at the end goes on in the next line") {
    Composer composer;
    CHECK(composer.add("alone"));
    CHECK(composer.text() == "alone");
    CHECK_FALSE(composer.add("one\\"));
    CHECK(composer.unfinished());
    CHECK_FALSE(composer.add("two\\"));
    CHECK(composer.add("three  "));
    CHECK(composer.text() == "one\ntwo\nthree");
    CHECK(composer.as_typed() == composer.text());
    CHECK_FALSE(composer.add("dropped\\"));
    composer.clear();
    CHECK(composer.add("kept"));
    CHECK(composer.text() == "kept");
}

TEST_CASE("quotes hold lines as they are, also commands and backslashes") {
    Composer composer;
    CHECK_FALSE(composer.add(R"("""/help)"));
    CHECK_FALSE(composer.add("a \\"));
    CHECK_FALSE(composer.add(""));
    CHECK(composer.add(R"(end""" )"));
    CHECK(composer.text() == "/help\na \\\n\nend");
    CHECK(composer.quoted());
    CHECK(composer.add(R"("""one line""")"));
    CHECK(composer.text() == "one line");
    // What was typed gives the same when it is taken from the history.
    Composer again;
    CHECK(again.add(composer.as_typed()));
    CHECK(again.text() == "one line");
    CHECK_FALSE(composer.add(R"(""")"));
    CHECK_FALSE(composer.add("inside"));
    CHECK(composer.add(R"(""")"));
    CHECK(composer.text() == "inside");
}

TEST_CASE("lines that were pasted are one message as they are") {
    Composer composer;
    CHECK(composer.add("#define A \\\n  1\n\n"));
    CHECK(composer.text() == "#define A \\\n  1");
}

TEST_CASE("commands are told from messages") {
    using Name = ChatCommand::Name;
    CHECK(chat_command("/help")->name == Name::help);
    CHECK(chat_command("/quit")->name == Name::bye);
    const auto set = chat_command("/set  top_k 3 ");
    CHECK(set->name == Name::set);
    CHECK(set->argument == "top_k 3");
    CHECK(chat_command("/system one\ntwo")->argument == "one\ntwo");
    CHECK_FALSE(chat_command("hello /help"));
    CHECK_FALSE(chat_command("/usr/bin/ls: not found"));
    CHECK_FALSE(chat_command("/frob\nsecond line"));
}

TEST_CASE("a command that is not there or is used wrongly is explained") {
    CHECK(contains(error_of([] { chat_command("/regenrate"); }), "did you mean /regenerate?"));
    CHECK(contains(error_of([] { chat_command("/xyzzy"); }), "there is no command /xyzzy. /help"));
    CHECK(contains(error_of([] { chat_command("/save"); }), "say which: /save FILE"));
    CHECK(contains(error_of([] { chat_command("/undo 3"); }), "takes nothing behind it"));
    CHECK(contains(chat_help(), "/regenerate"));
}

TEST_CASE("settings take values in their ranges and go back to their defaults") {
    ChatSettings settings;
    set_setting(settings, "temperature 0.25");
    set_setting(settings, "top_k=7");
    set_setting(settings, "seed 18446744073709551615");
    set_setting(settings, "max_tokens 9");
    set_setting(settings, "think off");
    CHECK(settings.answer.sampling.temperature == 0.25F);
    CHECK(settings.answer.sampling.top_k == 7);
    CHECK(settings.answer.seed == 18446744073709551615U);
    CHECK(settings.answer.max_tokens == 9);
    CHECK(settings.thinking == false);
    CHECK(settings_text(settings, "think") == "think off\n");
    set_setting(settings, "think hidden");
    CHECK(settings.thinking == true);
    CHECK_FALSE(settings.show_reasoning);
    for (const char* name : {"temperature", "top_k", "seed", "max_tokens", "think"}) {
        set_setting(settings, std::string(name) + " default");
    }
    CHECK(settings_text(settings, "") == settings_text(ChatSettings{}, ""));
}

TEST_CASE("a wrong setting is explained and changes nothing") {
    ChatSettings settings;
    const auto error = [&](const char* argument) {
        return error_of([&] { set_setting(settings, argument); });
    };
    CHECK(contains(error("temprature 1"), "no setting \"temprature\"; did you mean temperature?"));
    CHECK(contains(error("temperature hot"), "\"hot\" is not a number"));
    CHECK(contains(error("temperature -1"), "temperature is -1; allowed are"));
    CHECK(contains(error("temperature nan"), "temperature is nan"));
    CHECK(contains(error("top_p 0"), "top_p is 0"));
    CHECK(contains(error("top_k -3"), "\"-3\" is not a whole number"));
    CHECK(contains(error("top_k 4294967296"), "is not a whole number"));
    CHECK(contains(error("think maybe"), "\"maybe\" is not on, off, hidden or default"));
    CHECK(contains(error_of([&] { settings_text(settings, "frob"); }), "no setting \"frob\"."));
    CHECK(settings_text(settings, "") == settings_text(ChatSettings{}, ""));
}

TEST_CASE("history comes back as it was, for its owner alone") {
    const shoal::tests::TempDir dir;
    const std::string path = dir.file("state/shoal/history");
    const HistoryFile history(path);
    CHECK(history.read().empty());
    history.add("plain");
    history.add("two\nlines \\n and a \\");
    history.add("");
    history.add(std::string(HistoryFile::kLongestEntry + 1, 'x'));
    CHECK(history.read() == std::vector<std::string>{"plain", "two\nlines \\n and a \\"});
    struct stat status {};
    REQUIRE(stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    CHECK(HistoryFile("").read().empty());
    HistoryFile("/proc/none/history").add("x");
}

TEST_CASE("a long history keeps its end, in memory and on disk") {
    const shoal::tests::TempDir dir;
    const HistoryFile history(dir.file("history"));
    std::ofstream file(dir.file("history"));
    for (int i = 0; i < 5000; ++i) file << "entry " << i << '\n';
    file.close();
    auto entries = history.read();
    REQUIRE(entries.size() == HistoryFile::kMostEntries);
    CHECK(entries.front() == "entry 4000");
    CHECK(entries.back() == "entry 4999");
    CHECK(history.read() == entries);
    struct stat status {};
    REQUIRE(stat(dir.file("history").c_str(), &status) == 0);
    CHECK(status.st_size < 20'000);
    std::ofstream(dir.file("history"))
        << std::string(HistoryFile::kMostBytes + 5, 'y') << "\nlast\n";
    CHECK(history.read() == std::vector<std::string>{"last"});
}

TEST_SUITE_END();

}  // namespace chat_input_test
