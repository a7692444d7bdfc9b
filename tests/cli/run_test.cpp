#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tests/cli/fake_daemon.hpp"
#include "tests/cli/process.hpp"

namespace run_test {

using namespace shoal::tests;
namespace messages = shoal::mesh::messages;

TEST_SUITE_BEGIN("cli/run");

namespace {

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

messages::Done usual_done() {
    messages::Done done;
    done.prompt_tokens = 12;
    done.generated_tokens = 3;
    done.model = "story";
    done.load_seconds = 2.5;
    done.prefill_seconds = 0.1;
    done.decode_seconds = 0.5;
    done.devices = 3;
    return done;
}

/// Progress, "Once upon\na time" in three tokens and a held-back end.
void tell_story(const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
    reply(messages::Progress{"loading story", 1, 2});
    reply(messages::Token{0, 5, "Once"});
    reply(messages::Token{1, 6, " upon"});
    reply(messages::Token{2, 7, ""});
    messages::Done done = usual_done();
    done.text = "\na time";
    reply(done);
}

}  // namespace

TEST_CASE("run streams the text to standard output and the timing to standard error") {
    FakeDaemon daemon(tell_story);
    const Result result =
        run_shoal({"--socket", daemon.socket(), "run", "story", "Tell me", "--seed", "9"});
    CHECK(result.code == 0);
    CHECK(result.out == "Once upon\na time\n");
    CHECK(result.err ==
          "shoal: 3 tokens in 0.50 s (6.0 tokens/s); prompt of 12 tokens in 0.10 s (120.0 "
          "tokens/s); loaded in 2.50 s; story on 3 devices; seed 9\n");
    const auto requests = daemon.requests_of<messages::Generate>();
    REQUIRE(requests.size() == 1);
    CHECK(requests[0].model == "story");
    CHECK(requests[0].prompt == "Tell me");
    messages::Sampling expected;
    expected.seed = 9;
    CHECK(requests[0].sampling == expected);
}

TEST_CASE("the timing says how much of a prompt was known, and counts the rest") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        messages::Done done = usual_done();
        done.cached_tokens = 8;
        reply(done);
    });
    const Result result = run_shoal({"--socket", daemon.socket(), "run", "story", "Tell me"});
    CHECK(result.err.find("; prompt of 12 tokens, 8 of them known, in 0.10 s (40.0 tokens/s)") !=
          std::string::npos);
}

TEST_CASE("text appears as its tokens come, not at the end") {
    std::atomic<bool> go_on = false;
    FakeDaemon daemon([&](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        reply(messages::Token{0, 5, "first"});
        while (!go_on) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        reply(messages::Done{});
    });
    Process process({"run", "m", "p", "--socket", daemon.socket()});
    process.wait_for_output("first");
    CHECK(process.out() == "first");
    go_on = true;
    CHECK(process.wait() == 0);
    CHECK(process.out() == "first\n");
}

TEST_CASE("--quiet keeps standard error empty") {
    FakeDaemon daemon(tell_story);
    const Result result = run_shoal({"run", "m", "p", "-q", "--socket", daemon.socket()});
    CHECK(result.code == 0);
    CHECK(result.err.empty());
}

TEST_CASE("every sampling flag reaches the request") {
    FakeDaemon daemon(tell_story);
    const Result result = run_shoal({"run",
                                     "m",
                                     "--temperature",
                                     "0.25",
                                     "--top-k",
                                     "7",
                                     "--top-p",
                                     "0.5",
                                     "--min-p",
                                     "0.125",
                                     "--repeat-penalty",
                                     "1.5",
                                     "--presence-penalty",
                                     "-0.5",
                                     "--frequency-penalty",
                                     "0.75",
                                     "--penalty-last-n",
                                     "3",
                                     "--seed",
                                     "18446744073709551615",
                                     "-n",
                                     "11",
                                     "--stop",
                                     "END",
                                     "--stop",
                                     "\n",
                                     "--priority",
                                     "-7",
                                     "--ignore-eos",
                                     "the prompt",
                                     "--socket",
                                     daemon.socket()});
    CHECK(result.code == 0);
    const auto requests = daemon.requests_of<messages::Generate>();
    REQUIRE(requests.size() == 1);
    messages::Sampling expected;
    expected.temperature = 0.25F;
    expected.top_k = 7;
    expected.top_p = 0.5F;
    expected.min_p = 0.125F;
    expected.repeat_penalty = 1.5F;
    expected.presence_penalty = -0.5F;
    expected.frequency_penalty = 0.75F;
    expected.penalty_last_n = 3;
    expected.seed = 18446744073709551615U;
    CHECK(requests[0].sampling == expected);
    CHECK(requests[0].max_tokens == 11);
    CHECK(requests[0].stop == std::vector<std::string>{"END", "\n"});
    CHECK(requests[0].priority == -7);
    CHECK(requests[0].ignore_eos);
    CHECK(requests[0].prompt == "the prompt");
}

TEST_CASE("without --seed every run draws its own") {
    FakeDaemon daemon(tell_story);
    for (int i = 0; i < 2; ++i) run_shoal({"run", "m", "p", "--socket", daemon.socket()});
    const auto requests = daemon.requests_of<messages::Generate>();
    REQUIRE(requests.size() == 2);
    CHECK(requests[0].sampling.seed != requests[1].sampling.seed);
}

TEST_CASE("the prompt comes from an argument, a file or standard input") {
    FakeDaemon daemon(tell_story);
    const TempDir dir;
    std::ofstream(dir.file("prompt")) << "from a\nfile\n\n";
    const auto prompt = [&](std::vector<std::string> arguments, std::string input) {
        arguments.insert(arguments.begin(), {"--socket", daemon.socket()});
        const Result result = run_shoal(std::move(arguments), {.input = std::move(input)});
        CHECK(result.code == 0);
        const auto requests = daemon.requests_of<messages::Generate>();
        return requests.empty() ? "nothing" : requests.back().prompt;
    };
    CHECK(prompt({"run", "m", "argument"}, "pipe") == "argument");
    CHECK(prompt({"run", "m"}, "from a pipe\n") == "from a pipe");
    CHECK(prompt({"run", "m", "-"}, "from\0a pipe") == "from");
    CHECK(prompt({"run", "m", "-f", dir.file("prompt")}, "") == "from a\nfile\n");
    const std::string large(1 << 20, 'x');
    CHECK(prompt({"run", "m"}, large) == large);
    CHECK(prompt({"run", "m", "--", "--not-a-flag"}, "") == "--not-a-flag");
}

TEST_CASE("a prompt that cannot be had is a usage error and asks nobody") {
    FakeDaemon daemon(tell_story);
    const auto error = [&](std::vector<std::string> arguments, std::string input) {
        arguments.insert(arguments.end(), {"--socket", daemon.socket()});
        const Result result = run_shoal(std::move(arguments), {.input = std::move(input)});
        CHECK(result.code == 2);
        CHECK(result.out.empty());
        return result.err;
    };
    CHECK(error({"run", "m"}, "") == "shoal: the prompt is empty\n");
    CHECK(contains(error({"run", "m", "-f", "/nowhere/at all"}, ""), "No such file"));
    CHECK(contains(error({"run", "m", "-f", "/tmp"}, ""), "cannot read /tmp: Is a directory"));
    CHECK(contains(error({"run", "m", "p", "-f", "x"}, ""), "not both"));
    CHECK(contains(error({"run", "m"}, std::string((8 << 20) + 2, 'x')), "more than 8388608"));
    CHECK(contains(error({"run", "m", "p", "--temperature", "-1"}, ""), "temperature is -1"));
    CHECK(contains(error({"run", "m", "p", "--top-p", "0"}, ""), "top_p is 0"));
    CHECK(contains(error({"run", "m", "p", "--top-k", "many"}, ""), "--top-k"));
    CHECK(daemon.requests().empty());
}

TEST_CASE("a model file is sent as an absolute path and a name as it is") {
    FakeDaemon daemon(tell_story);
    const TempDir dir;
    std::ofstream(dir.file("a.gguf")) << "x";
    const auto relative = std::filesystem::relative(dir.file("a.gguf")).string();
    for (const std::string& model : {relative, dir.file("a.gguf"), std::string("llama"),
                                     std::string("org/llama"), std::string("")}) {
        CHECK(run_shoal({"run", model, "p", "--socket", daemon.socket()}).code == 0);
    }
    const auto requests = daemon.requests_of<messages::Generate>();
    REQUIRE(requests.size() == 5);
    CHECK(requests[0].model == dir.file("a.gguf"));
    CHECK(requests[1].model == dir.file("a.gguf"));
    CHECK(requests[2].model == "llama");
    CHECK(requests[3].model == "org/llama");
    CHECK(requests[4].model.empty());

    const Result none = run_shoal({"run", "./none.gguf", "p", "--socket", daemon.socket()});
    CHECK(none.code == 4);
    CHECK(none.err == "shoal: there is no model file ./none.gguf\n");
}

TEST_CASE("failures are told on standard error with an exit code of their own") {
    const std::vector<std::pair<messages::ErrorCode, int>> codes = {
        {messages::ErrorCode::bad_request, 2}, {messages::ErrorCode::not_found, 4},
        {messages::ErrorCode::busy, 5},        {messages::ErrorCode::too_large, 1},
        {messages::ErrorCode::unavailable, 1}, {messages::ErrorCode::internal, 1},
        {messages::ErrorCode::forbidden, 1}};
    for (const auto& entry : codes) {
        FakeDaemon daemon([&](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
            reply(messages::Failed{entry.first, "what, where\x1b[31m and what to do"});
        });
        const Result result = run_shoal({"run", "m", "p", "--socket", daemon.socket()});
        CHECK(result.code == entry.second);
        CHECK(result.out.empty());
        CHECK(result.err == "shoal: what, where?[31m and what to do\n");
    }
}

TEST_CASE("a failure in the middle of an answer starts a line of its own") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        reply(messages::Token{0, 5, "Once upon"});
        reply(messages::Failed{messages::ErrorCode::unavailable, "no device is left"});
    });
    const std::vector<std::string> run = {"run", "m", "p", "--socket", daemon.socket()};
    const Result shown = run_shoal(run, {.terminal = true});
    CHECK(shown.code == 1);
    CHECK(shown.out == "Once upon\r\nshoal: no device is left\r\n");
    const Result piped = run_shoal(run);
    CHECK(piped.code == 1);
    CHECK(piped.out == "Once upon\n");
    CHECK(piped.err == "shoal: no device is left\n");
    auto json = run;
    json.push_back("--json");
    CHECK_FALSE(contains(run_shoal(json).out, "\n\n"));
}

TEST_CASE("with --json every event is a line, also failures on this side") {
    FakeDaemon daemon(tell_story);
    Result result = run_shoal({"run", "m", "p", "--json", "--socket", daemon.socket()});
    CHECK(result.code == 0);
    std::istringstream lines(result.out);
    std::vector<nlohmann::json> events;
    for (std::string line; std::getline(lines, line);)
        events.push_back(nlohmann::json::parse(line));
    REQUIRE(events.size() == 5);
    CHECK(events[0] ==
          nlohmann::json{
              {"event", "progress"}, {"what", "loading story"}, {"done", 1}, {"total", 2}});
    CHECK(events[1] ==
          nlohmann::json{{"event", "token"}, {"index", 0}, {"id", 5}, {"text", "Once"}});
    CHECK(events[4]["event"] == "done");
    CHECK(events[4]["reason"] == "end");
    CHECK(events[4]["text"] == "\na time");
    CHECK(events[4]["devices"] == 3);
    CHECK(events[4]["load_seconds"] == 2.5);

    result = run_shoal({"run", "m", "p", "--json", "--socket", "/nowhere/s.sock"});
    CHECK(result.code == 3);
    CHECK(nlohmann::json::parse(result.out)["code"] == "unreachable");
    CHECK(contains(result.err, "the daemon is not running"));
}

TEST_CASE("text that is not UTF-8 still makes valid JSON and passes a pipe unchanged") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        reply(messages::Token{0, 5, "a\xff\x1b[2J"});
        reply(messages::Done{});
    });
    Result result = run_shoal({"run", "m", "p", "--socket", daemon.socket()});
    CHECK(result.out == "a\xff\x1b[2J\n");
    result = run_shoal({"run", "m", "p", "--json", "--socket", daemon.socket()});
    const auto first = nlohmann::json::parse(result.out.substr(0, result.out.find('\n')));
    CHECK(first["text"] == "a\xef\xbf\xbd\x1b[2J");
}

TEST_CASE("on a terminal progress is one rewritten line and a model cannot command it") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        reply(messages::Progress{"loading\nstory", 1, 4});
        reply(messages::Progress{"loading\nstory", 2, 4});
        reply(messages::Token{0, 5, "a\x1b[2Jb"});
        reply(messages::Done{});
    });
    const Result result =
        run_shoal({"run", "m", "p", "--socket", daemon.socket()}, {.terminal = true});
    CHECK(result.code == 0);
    CHECK(
        contains(result.out, "\rloading story 25 %\x1b[K\rloading story 50 %\x1b[K\r\x1b[Ka?[2Jb"));
}

TEST_CASE("progress in the middle of an answer is shown below it and leaves it as it was") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        reply(messages::Token{0, 5, "half"});
        reply(messages::Progress{"device pi-4 was lost; going on without it", 0, 0});
        reply(messages::Token{1, 6, " whole"});
        reply(messages::Done{});
    });
    const Result result =
        run_shoal({"run", "m", "p", "-q", "--socket", daemon.socket()}, {.terminal = true});
    CHECK(result.out == "half whole\r\n");  // Quiet: no progress.
    const std::string out =
        run_shoal({"run", "m", "p", "--socket", daemon.socket()}, {.terminal = true}).out;
    // Save, down, text, restore; the same to clear; then the text goes on.
    CHECK(
        contains(out,
                 "half\033D\033[A\0337\033[B\rdevice pi-4 was lost; going on without it\033[K\0338"
                 "\0337\033[B\r\033[K\0338 whole\r\n"));
}

TEST_CASE("a gap in the answer is an error, not silence") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        reply(messages::Token{0, 5, "a"});
        reply(messages::Token{2, 6, "c"});
        reply(messages::Done{});
    });
    const Result result = run_shoal({"run", "m", "p", "--socket", daemon.socket()});
    CHECK(result.code == 1);
    CHECK(contains(result.err, "part of the answer is missing: token 2 came where 1 was due"));
}

TEST_CASE("Ctrl-C cancels the request and waits for its end") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        reply(messages::Token{0, 5, "endless"});
    });
    Process process({"run", "m", "p", "--socket", daemon.socket()});
    process.wait_for_output("endless");
    process.signal(SIGINT);
    CHECK(process.wait() == 130);
    CHECK(process.out() == "endless\n");
    CHECK(contains(process.err(), "; cancelled"));
    const auto cancels = daemon.requests_of<messages::CancelRequest>();
    REQUIRE(cancels.size() == 1);
    const auto requests = daemon.requests();
    const auto asked = std::ranges::find_if(requests, [](const messages::RequestFrame& frame) {
        return std::holds_alternative<messages::Generate>(frame.body);
    });
    REQUIRE(asked != requests.end());
    CHECK(cancels[0].request == asked->id);
}

TEST_CASE("Ctrl-C ends the program even when the daemon does not react") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        reply(messages::Token{0, 5, "endless"});
    });
    daemon.answer_cancel(false);
    Process process({"run", "m", "p", "--socket", daemon.socket()});
    process.wait_for_output("endless");
    process.signal(SIGTERM);
    CHECK(daemon.wait_for<messages::CancelRequest>());
    // The second one is for those who will not wait two seconds.
    const auto start = std::chrono::steady_clock::now();
    process.signal(SIGTERM);
    CHECK(process.wait() == 128 + SIGTERM);
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::milliseconds(1900));
}

TEST_CASE("a reader that goes away cancels the request without waiting for a token") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        reply(messages::Token{0, 5, "endless"});
    });
    Process process({"run", "m", "p", "--socket", daemon.socket()});
    process.wait_for_output("endless");
    process.close_output();
    CHECK(daemon.wait_for<messages::CancelRequest>());
    CHECK(process.wait() == 141);
}

TEST_CASE("Ctrl-C works while the reader does not read") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        reply(messages::Token{0, 5, std::string(1 << 20, 'x')});
    });
    Process process({"run", "m", "p", "--socket", daemon.socket(), "-q"});
    CHECK(daemon.wait_for<messages::Generate>());
    std::this_thread::sleep_for(std::chrono::milliseconds(100));  // Until the pipe is full.
    process.signal(SIGINT);
    CHECK(daemon.wait_for<messages::CancelRequest>());
    CHECK(process.wait() == 130);
}

namespace {

messages::DescribeReply chat_model() {
    messages::DescribeReply about;
    about.info.name = "qwen";
    about.chat_template = "{{ messages }}";
    about.thinks = true;
    return about;
}

/// Thinks, then answers.
void think_and_answer(const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
    messages::Token token{0, 5, ""};
    token.reasoning = "Let me see.";
    reply(token);
    reply(messages::Token{1, 6, "Blue"});
    messages::Done done = usual_done();
    done.text = " light.";
    done.reasoning_tokens = 1;
    reply(done);
}

}  // namespace

TEST_CASE("a chat model gets the prompt as a message, and a pipe the answer alone") {
    FakeDaemon daemon(think_and_answer);
    daemon.describe(chat_model());
    const Result result = run_shoal({"run", "qwen", "Why is the sky \"blue\"?", "--system",
                                     "Be brief.", "--socket", daemon.socket()});
    CHECK(result.code == 0);
    CHECK(result.out == "Blue light.\n");
    CHECK_FALSE(contains(result.err, "--raw"));
    const auto requests = daemon.requests_of<messages::Generate>();
    REQUIRE(requests.size() == 1);
    CHECK(requests[0].prompt.empty());
    const auto chat = nlohmann::json::parse(requests[0].chat);
    CHECK(chat == nlohmann::json{{"messages",
                                  {{{"role", "system"}, {"content", "Be brief."}},
                                   {{"role", "user"}, {"content", "Why is the sky \"blue\"?"}}}},
                                 {"add_generation_prompt", true}});
}

TEST_CASE("at a terminal a chat model's thinking is faint and --raw is named once") {
    FakeDaemon daemon(think_and_answer);
    daemon.describe(chat_model());
    std::vector<std::string> run = {"run", "qwen", "Why?", "--socket", daemon.socket()};
    std::string out = run_shoal(run, {.terminal = true}).out;
    CHECK(contains(out, "shoal: qwen is a chat model, so the prompt is asked as a message; --raw"));
    CHECK(contains(out, "\x1b[2mLet me see.\x1b[0m\r\n\r\nBlue light.\r\n"));
    run.push_back("-q");
    out = run_shoal(run, {.environment = {"NO_COLOR=1"}, .terminal = true}).out;
    CHECK(out == "Thinking:\r\nLet me see.\r\n\r\nAnswer:\r\nBlue light.\r\n");
}

TEST_CASE("--raw goes on from the text also with a chat model, and asks nothing else") {
    FakeDaemon daemon(tell_story);
    daemon.describe(chat_model());
    const Result result = run_shoal({"run", "qwen", "Once", "--raw", "--socket", daemon.socket()});
    CHECK(result.code == 0);
    CHECK(daemon.requests().size() == 1);
    CHECK(daemon.requests_of<messages::Generate>()[0].prompt == "Once");
    CHECK(daemon.requests_of<messages::Generate>()[0].chat.empty());
}

TEST_CASE("--system is refused where there is no place for it") {
    FakeDaemon daemon(tell_story);
    const auto error = [&](std::vector<std::string> more) {
        more.insert(more.begin(), {"run", "m", "p", "--system", "s", "--socket", daemon.socket()});
        const Result result = run_shoal(std::move(more));
        CHECK(result.code == 2);
        return result.err;
    };
    CHECK(contains(error({}), "m has no chat template, so there is no place for --system"));
    CHECK(contains(error({"--raw"}), "leave one out"));
    CHECK(daemon.requests_of<messages::Generate>().empty());
}

TEST_CASE("a model that cannot be described is a failure with its code, in JSON a line") {
    FakeDaemon daemon(tell_story);
    daemon.describe(messages::Failed{messages::ErrorCode::not_found, "no model m"});
    const Result result = run_shoal({"run", "m", "p", "--json", "--socket", daemon.socket()});
    CHECK(result.code == 4);
    CHECK(nlohmann::json::parse(result.out)["code"] == "not_found");
    CHECK(daemon.requests_of<messages::Generate>().empty());
}

TEST_CASE("--schema sends the file's schema, and errors name the file") {
    FakeDaemon daemon(tell_story);
    const TempDir dir;
    std::ofstream(dir.file("good")) << R"({"type": "object"})";
    std::ofstream(dir.file("bad")) << "{\n  \"type\": object}";
    std::ofstream(dir.file("large")) << std::string((1 << 20) + 2, ' ');
    const auto with = [&](const std::string& file) {
        return run_shoal({"run", "m", "p", "--schema", file, "--socket", daemon.socket()});
    };
    CHECK(with(dir.file("good")).code == 0);
    const auto requests = daemon.requests_of<messages::Generate>();
    REQUIRE(requests.size() == 1);
    CHECK(requests[0].constraint.kind == messages::Constraint::Kind::json_schema);
    CHECK(requests[0].constraint.text == R"({"type": "object"})");
    const auto error = [&](const std::string& name) {
        const Result result = with(dir.file(name));
        CHECK(result.code == 2);
        CHECK(contains(result.err, dir.file(name)));
        return result.err;
    };
    CHECK(contains(error("bad"), "is no JSON schema: it is wrong at byte 13, on line 2"));
    CHECK(contains(error("none"), "cannot open"));
    CHECK(contains(error("large"), "has more than 1048576 bytes"));
}

TEST_CASE("--stats tells on standard error what the answer took") {
    FakeDaemon daemon(think_and_answer);
    daemon.describe(chat_model());
    const Result result = run_shoal(
        {"run", "qwen", "Why?", "--stats", "--seed", "4", "-q", "--socket", daemon.socket()});
    CHECK(result.out == "Blue light.\n");
    CHECK(result.err ==
          "Model     story on 3 devices\n"
          "Prompt    12 tokens in 0.10 s (120.0 tokens/s)\n"
          "Answer    3 tokens in 0.50 s (6.0 tokens/s), 1 of thinking\n"
          "Together  15 tokens\n"
          "Loaded    in 2.50 s\n"
          "Seed      4\n");
}

TEST_CASE("chat in a pipe answers standard input as one message and is quiet") {
    FakeDaemon daemon(think_and_answer);
    daemon.describe(chat_model());
    Result result = run_shoal({"chat", "--socket", daemon.socket()}, {.input = "one\ntwo\n"});
    CHECK(result.code == 0);
    CHECK(result.out == "Blue light.\n");
    CHECK(result.err.empty());
    const auto requests = daemon.requests_of<messages::Generate>();
    REQUIRE(requests.size() == 1);
    CHECK(requests[0].model.empty());
    CHECK(nlohmann::json::parse(requests[0].chat)["messages"][0]["content"] == "one\ntwo");

    result = run_shoal({"chat", "--socket", daemon.socket()});
    CHECK(result.code == 2);
    CHECK(result.err == "shoal: the message is empty\n");
    daemon.describe(messages::DescribeReply{});
    result = run_shoal({"chat", "story", "--socket", daemon.socket()}, {.input = "Hello"});
    CHECK(result.code == 0);
    CHECK(contains(result.err, "story has no chat template. The usual one is taken (ChatML)"));
}

TEST_SUITE_END();

}  // namespace run_test
