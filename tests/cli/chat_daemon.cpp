// A daemon for chat_test.py and watch_test.py: answers messages by what they say, and prints what
// it was asked.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/cli/fake_daemon.hpp"

namespace {

using namespace shoal::tests;
namespace messages = shoal::mesh::messages;

messages::DescribeReply chat_model() {
    messages::DescribeReply about;
    about.info.name = "parrot";
    about.chat_template = "{{ messages }}";
    about.thinks = true;
    return about;
}

messages::Done done() {
    messages::Done done;
    done.model = "parrot";
    done.devices = 3;
    done.prompt_tokens = 20;
    done.generated_tokens = 10;
    done.prefill_seconds = 0.5;
    done.decode_seconds = 2;
    return done;
}

/// Sends a text as a token for each three bytes.
void speak(const std::string& text, const FakeDaemon::Reply& reply) {
    for (std::uint32_t i = 0; i * 3 < text.size(); ++i) {
        reply(messages::Token{i, 7, text.substr(i * 3, 3)});
    }
}

void answer(const messages::Generate& asked, const FakeDaemon::Reply& reply) {
    nlohmann::json line{{"chat", nlohmann::json::parse(asked.chat)},
                        {"temperature", asked.sampling.temperature},
                        {"max_tokens", asked.max_tokens},
                        {"model", asked.model}};
    std::cout << line << std::endl;
    const std::string said = line["chat"]["messages"].back()["content"];
    if (said == "endless") {
        speak("It goes on", reply);
        return;  // The end comes when it is cancelled.
    }
    if (said == "full") {
        reply(messages::Failed{messages::ErrorCode::context_length, "5000 tokens are too many"});
        return;
    }
    if (said == "think") {
        messages::Token token{0, 7, ""};
        token.reasoning = "Hmm.";
        reply(token);
        reply(messages::Token{1, 7, "Yes."});
    } else if (said == "long") {
        std::string text;
        for (int i = 0; i < 120; ++i) text += "word" + std::to_string(i * i) + ' ';
        speak(text + "\n```\n" + std::string(150, 'c') + "\n```", reply);
    } else {
        speak("You said: " + said, reply);
    }
    reply(done());
}

/// Two devices, of which one loads; each time there are more tokens.
messages::StatusReply status() {
    static std::uint64_t tokens = 0;
    messages::StatusReply reply;
    reply.cluster = "3f2a-91c0-77de";
    reply.version = "0.1.0";
    reply.model = "parrot";
    reply.generated_tokens = tokens += 10;
    for (const char* id : {"a", "b"}) {
        messages::DeviceInfo device;
        device.id = id;
        device.name = std::string("parrot-") + id;
        device.rank = static_cast<std::int32_t>(reply.devices.size());
        device.weight_bytes = device.planned_weight_bytes = 1000;
        device.memory_total = device.memory_available = std::uint64_t{8} << 30;
        device.state = "ready";
        reply.devices.push_back(device);
    }
    reply.root = reply.self = "a";
    reply.devices[0].root = reply.devices[0].self = true;
    reply.devices[1].weight_bytes = 400;
    reply.devices[1].state = "loading 40 %";
    return reply;
}

}  // namespace

/// `chat_daemon SOCKET`: until standard input ends.
int main(int, char** arguments) {
    doctest::Context context;
    context.setAsDefaultForAssertsOutOfTestCases();
    FakeDaemon daemon(
        [](const messages::RequestFrame& frame, const FakeDaemon::Reply& reply) {
            if (const auto* asked = std::get_if<messages::Generate>(&frame.body)) {
                answer(*asked, reply);
            } else if (std::holds_alternative<messages::StatusRequest>(frame.body)) {
                reply(status());
            }
        },
        arguments[1]);
    daemon.describe(chat_model());
    std::cout << "ready" << std::endl;
    char byte = 0;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    return 0;
}
