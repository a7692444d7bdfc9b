#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "tests/cli/fake_daemon.hpp"
#include "tests/cli/process.hpp"

namespace logs_test {

using namespace shoal::tests;
namespace messages = shoal::mesh::messages;

TEST_SUITE_BEGIN("cli/logs");

namespace {

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

void nothing(const messages::RequestFrame&, const FakeDaemon::Reply&) {}

}  // namespace

TEST_CASE("where no daemon is, logs says where its log would be") {
    const TempDir dir;
    const Result result = run_shoal({"logs", "--socket", dir.file("none.sock")});
    CHECK(result.code == 3);
    CHECK(contains(result.err, "standard error, where it was started"));
}

TEST_CASE("a daemon that was started by hand is named with the place of its log") {
    // The daemon is this very test.
    const TempDir dir;
    FakeDaemon daemon(nothing);
    const std::string log = dir.file("log");
    std::ofstream(log) << "one\ntwo\nthree\n";
    const int before = dup(STDERR_FILENO);
    REQUIRE(freopen(log.c_str(), "a", stderr) != nullptr);
    const Result two = run_shoal({"logs", "-n", "2", "--socket", daemon.socket()});
    const Result since = run_shoal({"logs", "--since", "today", "--socket", daemon.socket()});
    int pipe_ends[2];
    REQUIRE(pipe(pipe_ends) == 0);
    dup2(pipe_ends[1], STDERR_FILENO);
    const Result piped = run_shoal({"logs", "--socket", daemon.socket()});
    dup2(before, STDERR_FILENO);
    for (const int fd : {before, pipe_ends[0], pipe_ends[1]}) close(fd);
    CHECK(two.code == 0);
    CHECK(two.out == "two\nthree\n");
    CHECK(since.code == 2);
    CHECK(contains(since.err, log));
    CHECK(piped.code == 1);
    CHECK(contains(piped.err, "was not started by systemd"));
}

TEST_SUITE_END();

}  // namespace logs_test
