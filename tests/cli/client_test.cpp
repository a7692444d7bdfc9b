#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "tests/cli/fake_daemon.hpp"
#include "tests/cli/process.hpp"

namespace client_test {

using namespace shoal::tests;
namespace messages = shoal::mesh::messages;

TEST_SUITE_BEGIN("cli/client");

namespace {

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

/// A socket that is bound, and listens when `listening`.
struct RawSocket {
    RawSocket(const std::string& path, bool listening) {
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, path.data(), path.size());
        REQUIRE(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        if (listening) REQUIRE(listen(fd, 5) == 0);
    }
    ~RawSocket() { close(fd); }
    int fd;
};

}  // namespace

TEST_CASE("without a daemon the message says how to start it") {
    const TempDir dir;
    Result result = run_shoal({"status", "--socket", dir.file("none.sock")});
    CHECK(result.code == 3);
    CHECK(result.out.empty());
    CHECK(result.err ==
          "shoal: the daemon is not running: there is no socket " + dir.file("none.sock") +
              ".\nStart it with `sudo systemctl start shoald`, or one of your own with `shoald "
              "--config FILE`; `shoal logs` says why one ended; another socket is chosen by "
              "--socket or SHOAL_SOCKET.\n");
    const RawSocket left_over(dir.file("old.sock"), false);
    result = run_shoal({"status", "--socket", dir.file("old.sock")});
    CHECK(result.code == 3);
    CHECK(contains(result.err, "nobody answers on"));
    CHECK(contains(result.err, "shoald --config FILE"));
}

TEST_CASE("the socket comes from the environment, and the flag goes before it") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        reply(messages::ModelsReply{});
    });
    CHECK(run_shoal({"models"}, {.environment = {"SHOAL_SOCKET=" + daemon.socket()}}).code == 0);
    CHECK(run_shoal({"models", "--socket", daemon.socket()},
                    {.environment = {"SHOAL_SOCKET=/nowhere"}})
              .code == 0);
    CHECK(run_shoal({"models"}, {.environment = {"SHOAL_SOCKET=/nowhere"}}).code == 3);
    const Result result = run_shoal({"models", "--socket", '/' + std::string(200, 'x')});
    CHECK(result.code == 2);
    CHECK(contains(result.err, "has 201 bytes; 1..107 are allowed"));
}

TEST_CASE("a socket that others may not use names the group to join" *
          doctest::skip(geteuid() == 0 && access("/usr/sbin/runuser", X_OK) != 0)) {
    // Root may use everything, so this test gives up that right in a child of its own.
    const TempDir dir;
    const RawSocket socket(dir.file("s.sock"), true);
    REQUIRE(chmod(dir.path().c_str(), 0700) == 0);
    if (geteuid() != 0) {
        MESSAGE("not root: skipped");
        return;
    }
    const std::string command = "runuser -u nobody -- " SHOAL_BINARY " status --socket " +
                                dir.file("s.sock") + " 2>&1; echo \"code $?\"";
    FILE* pipe = popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    char buffer[4096];
    const std::size_t size = fread(buffer, 1, sizeof buffer, pipe);
    pclose(pipe);
    const std::string text(buffer, size);
    if (contains(text, "Permission denied\ncode 126")) {
        MESSAGE("the program lies where others may not run it: skipped");
        return;
    }
    CHECK(contains(text, "only members of group shoal can"));
    CHECK(contains(text, "sudo usermod -aG shoal $USER"));
    CHECK(contains(text, "code 3"));
}

TEST_CASE("a daemon that dies in the middle of an answer is noticed at once") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        reply(messages::Token{0, 5, "Once"});
        reply(messages::Token{1, 6, " upon"});
    });
    Process process({"run", "m", "p", "--socket", daemon.socket()});
    process.wait_for_output("Once upon");
    const auto start = std::chrono::steady_clock::now();
    daemon.die();
    CHECK(process.wait() == 3);
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
    CHECK(process.out() == "Once upon\n");
    CHECK(contains(process.err(), "lost the daemon on " + daemon.socket()));
}

TEST_CASE("a silent daemon is asked for its status and then given up") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply&) {});
    const Result result =
        run_shoal({"run", "m", "p", "--patience", "0.3", "--socket", daemon.socket()});
    CHECK(result.code == 3);
    CHECK(contains(result.err, "has been silent for 0.30 s"));
    CHECK(daemon.requests_of<messages::StatusRequest>().size() == 1);
}

TEST_CASE("a slow daemon that still says its status is waited for") {
    int asked = 0;
    FakeDaemon daemon([&](const messages::RequestFrame& frame, const FakeDaemon::Reply& reply) {
        if (!std::holds_alternative<messages::StatusRequest>(frame.body)) return;
        reply(messages::StatusReply{});
        ++asked;
    });
    Process process({"load", "m", "--patience", "0.2", "--socket", daemon.socket()});
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
    daemon.die();
    CHECK(process.wait() == 3);
    CHECK(asked >= 3);
    CHECK(contains(process.err(), "lost the daemon"));
}

TEST_CASE("what does not speak our language is an error that names the version") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        reply(messages::ModelsReply{});
    });
    daemon.answer_bytes("\xc1 nonsense");
    Result result = run_shoal({"models", "--socket", daemon.socket()});
    CHECK(result.code == 1);
    CHECK(contains(result.err, "are both of the same version?"));

    FakeDaemon other([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        reply(messages::DetokenizeReply{"no models"});
    });
    result = run_shoal({"models", "--socket", other.socket()});
    CHECK(result.code == 1);
    CHECK(contains(result.err, "does not belong to the question"));
}

TEST_CASE("a refusal of what the daemon could not read ends the request") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        reply(messages::ModelsReply{});
    });
    const auto bytes = messages::encode(messages::EventFrame{
        0, messages::Failed{messages::ErrorCode::bad_request, "a message of version 7"}});
    daemon.answer_bytes({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    const Result result = run_shoal({"models", "--socket", daemon.socket()});
    CHECK(result.code == 2);
    CHECK(contains(result.err, "a message of version 7"));
}

TEST_CASE("a socket of another kind is given up within seconds") {
    const TempDir dir;
    const RawSocket mute(dir.file("mute.sock"), true);
    const auto start = std::chrono::steady_clock::now();
    const Result result = run_shoal({"models", "--socket", dir.file("mute.sock")});
    CHECK(result.code == 3);
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(30));
}

TEST_CASE("wrong command lines end with code 2 and a hint") {
    for (const std::vector<std::string>& arguments :
         std::vector<std::vector<std::string>>{{},
                                               {"walk"},
                                               {"run"},
                                               {"status", "--frobnicate"},
                                               {"status", "--watch=0"},
                                               {"models", "--patience", "-1"},
                                               {"key"}}) {
        const Result result = run_shoal(arguments);
        CHECK(result.code == 2);
        CHECK(contains(result.err, "--help"));
        CHECK(result.out.empty());
    }
}

TEST_CASE("what is no command, option or argument is named, with what is near") {
    const auto error = [](const std::vector<std::string>& arguments) {
        const Result result = run_shoal(arguments);
        CHECK(result.code == 2);
        CHECK(result.out.empty());
        return result.err;
    };
    CHECK(
        error({"statsu"})
            .starts_with("shoal: there is no command \"statsu\"; did you mean `shoal status`?\n"));
    CHECK(error({"stat"}).find("did you mean `shoal status`?") != std::string::npos);
    const std::string endless = error({"plan", "--what-if", "/dev/zero"});
    CHECK(contains(endless, "/dev/zero has more than"));
    const std::string talk = error({"converse"});
    CHECK(talk.starts_with("shoal: there is no command \"converse\".\n"));
    CHECK(contains(talk,
                   "chat, run, status, plan, bench, doctor, logs, models, load, unload, add, rm, "
                   "tokenize, detokenize, invite, join, leave, devices, key, help"));
    CHECK(error({"-q", "lod", "m"})
              .starts_with("shoal: there is no command \"lod\"; did you mean `shoal load`?"));
    CHECK(contains(error({"key", "mew"}), "no command \"mew\"; did you mean `shoal key new`?"));
    CHECK(contains(error({"help", "rum"}), "no command \"rum\"; did you mean `shoal run`?"));
    CHECK(error({"run", "m", "p", "--temprature", "0"}) ==
          "shoal: there is no option --temprature; did you mean --temperature? See `shoal run "
          "--help`.\n");
    CHECK(contains(error({"status", "--jsn"}), "--jsn; did you mean --json?"));
    CHECK(contains(error({"status", "--frobnicate=1"}), "there is no option --frobnicate. See"));
    CHECK(error({"run", "m", "tell", "me"}) ==
          "shoal: \"me\" is one word too many; put a text of several words in quotes. See `shoal "
          "run --help`.\n");
    CHECK(contains(error({"a\x1b[2J"}), "a?[2J"));
    CHECK(error({"run"}) == "shoal: MODEL is required. See `shoal run --help`.\n");
}

TEST_CASE("help and version need no daemon") {
    Result result = run_shoal({"--help"});
    CHECK(result.code == 0);
    for (const char* word : {"run", "status", "models", "load", "tokenize", "detokenize", "key",
                             "Examples:", "Exit codes:", "SHOAL_SOCKET"}) {
        CHECK(contains(result.out, word));
    }
    result = run_shoal({"run", "--help"});
    CHECK(result.code == 0);
    CHECK(contains(result.out, "--repeat-penalty"));
    CHECK(run_shoal({"help"}).out == run_shoal({"--help"}).out);
    CHECK(run_shoal({"help", "run"}).out == result.out);
    CHECK(contains(run_shoal({"help", "key", "new"}).out, "does not exist yet"));
    result = run_shoal({"--version"});
    CHECK(result.code == 0);
    CHECK(contains(result.out, "shoal 0."));
}

TEST_SUITE_END();

}  // namespace client_test
