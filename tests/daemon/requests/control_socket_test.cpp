#include "daemon/requests/control_socket.hpp"

#include <doctest/doctest.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>
#include <zmq.hpp>

#include "tests/daemon/support.hpp"

namespace control_socket_test {

using namespace shoal;
using namespace shoal::tests;
using namespace mesh::messages;
using namespace std::chrono_literals;

namespace {

// Does nothing until it is told to. Lives on the control thread.
struct ScriptedService final : http::Service {
    struct Running {
        Request request;
        Door door;
        Sink sink;
    };
    Ticket start(Request request, Door door, Sink sink) override {
        running[++last] = {std::move(request), door, std::move(sink)};
        return last;
    }
    void cancel(Ticket ticket) noexcept override { cancelled.push_back(ticket); }
    void emit(Ticket ticket, const Event& event) { running.at(ticket).sink(event); }

    Ticket last = 0;
    std::map<Ticket, Running> running;
    std::vector<Ticket> cancelled;
};

class Client {
  public:
    Client(zmq::context_t& context, const std::string& path)
        : socket_(context, zmq::socket_type::dealer) {
        socket_.set(zmq::sockopt::linger, 0);
        socket_.set(zmq::sockopt::rcvtimeo, 30'000);
        socket_.connect("ipc://" + path);
    }
    void send(const RequestFrame& frame) {
        const auto bytes = encode(frame);
        raw(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    }
    void raw(const std::string& bytes) { socket_.send(zmq::buffer(bytes), zmq::send_flags::none); }
    void raw_parts(const std::vector<std::string>& parts) {
        for (std::size_t i = 0; i < parts.size(); ++i) {
            socket_.send(zmq::buffer(parts[i]),
                         i + 1 < parts.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
        }
    }
    std::optional<EventFrame> receive() {
        zmq::message_t message;
        if (!socket_.recv(message)) return std::nullopt;
        auto frame = decode_event({static_cast<const std::byte*>(message.data()), message.size()});
        if (!frame) return std::nullopt;
        return *frame;
    }

  private:
    zmq::socket_t socket_;
};

struct Fixture {
    TemporaryFolder temporary;
    const std::string path = temporary.folder / "run" / "control.sock";
    zmq::context_t context;
    ScriptedService service;
    ControlThread control;
    std::unique_ptr<ControlSocket> door;

    Fixture() { open(); }
    ~Fixture() {
        control.call([&] { door.reset(); });
        control.stop();
    }
    void open() {
        control.call([&] {
            door = std::make_unique<ControlSocket>(context, path, "", service);
            control.loop.add(
                {[&] { return door ? std::vector<int>{door->descriptor()} : std::vector<int>(); },
                 [&] {
                     return door ? door->next_deadline() : ControlLoop::Clock::time_point::max();
                 },
                 [&] {
                     if (door) door->poll();
                 }});
        });
    }
    bool started(std::size_t count) {
        return control.eventually([&] { return service.last >= count; });
    }
    void emit(http::Service::Ticket ticket, const Event& event) {
        control.call([&] { service.emit(ticket, event); });
    }
    // Another daemon's socket at the same path.
    void open_second(const std::string& where, const std::string& group = "") {
        const ControlSocket second(context, where, group, service);
    }
};

unsigned mode(const std::filesystem::path& path) {
    struct stat info {};
    REQUIRE(stat(path.c_str(), &info) == 0);
    return info.st_mode & 0777;
}

const Failed* failed(const std::optional<EventFrame>& frame) {
    return frame ? std::get_if<Failed>(&frame->body) : nullptr;
}

}  // namespace

TEST_SUITE("ControlSocket") {
    TEST_CASE_FIXTURE(Fixture,
                      "requests reach the service, events their client, under its number") {
        Client one(context, path);
        Client two(context, path);
        one.send({7, StatusRequest{}});
        REQUIRE(started(1));
        two.send({7, Generate{.model = "m", .prompt = "p"}});
        REQUIRE(started(2));
        control.call([&] {
            CHECK(std::holds_alternative<StatusRequest>(service.running[1].request));
            CHECK(std::get<Generate>(service.running[2].request).prompt == "p");
            CHECK(service.running[2].door == Door::control);
        });
        emit(2, Token{0, 5, "x"});
        emit(2, Done{});
        emit(1, StatusReply{});
        CHECK(std::holds_alternative<StatusReply>(one.receive()->body));
        const auto token = two.receive();
        REQUIRE(token);
        CHECK(token->id == 7);
        CHECK(std::get<Token>(token->body).text == "x");
        CHECK(std::holds_alternative<Done>(two.receive()->body));
    }

    TEST_CASE_FIXTURE(Fixture, "a user is one client, whatever requests say of themselves") {
        Client one(context, path);
        Client two(context, path);
        Generate request{.model = "m", .prompt = "p"};
        one.send({1, request});
        REQUIRE(started(1));
        request.client = 99;
        two.send({1, request});
        REQUIRE(started(2));
        control.call([&] {
            const auto client = [&](http::Service::Ticket ticket) {
                return std::get<Generate>(service.running[ticket].request).client;
            };
            CHECK(client(1) == client(2));
            CHECK(client(1) != 0);
            CHECK(client(1) != 99);
        });
    }

    TEST_CASE_FIXTURE(Fixture, "malformed messages are answered and harm nobody") {
        Client client(context, path);
        for (const std::string& bytes :
             {std::string(), std::string("x"), std::string("\xC1"), std::string(1000, '\xFF'),
              std::string("\x94\x01\x00\x01", 4), std::string("\xDD\xFF\xFF\xFF\xFF", 5)}) {
            client.raw(bytes);
            const auto answer = client.receive();
            REQUIRE(failed(answer) != nullptr);
            CHECK(answer->id == 0);
            CHECK(failed(answer)->code == ErrorCode::bad_request);
            CHECK(failed(answer)->message.find("malformed") != std::string::npos);
        }
        const auto good = encode(RequestFrame{3, StatusRequest{}});
        const std::string text(reinterpret_cast<const char*>(good.data()), good.size());
        client.raw(text.substr(0, text.size() - 1));
        CHECK(failed(client.receive()) != nullptr);
        client.raw_parts({"", "junk", ""});
        CHECK(failed(client.receive()) != nullptr);
        client.raw_parts({"", text});
        REQUIRE(started(1));
        emit(1, Done{});
        CHECK(client.receive()->id == 3);
    }

    TEST_CASE_FIXTURE(Fixture, "a message beyond the limit costs its connection only") {
        Client good(context, path);
        Client huge(context, path);
        huge.raw(std::string(kMaxRequestBytes + 1, 'x'));
        good.send({1, StatusRequest{}});
        REQUIRE(started(1));
        emit(1, Done{});
        CHECK(good.receive());
    }

    TEST_CASE_FIXTURE(Fixture, "a number is free again when its request is over") {
        Client client(context, path);
        client.send({1, StatusRequest{}});
        REQUIRE(started(1));
        client.send({1, StatusRequest{}});
        const auto refused = client.receive();
        REQUIRE(failed(refused) != nullptr);
        CHECK(refused->id == 1);
        CHECK(service.last == 1);
        emit(1, Done{});
        CHECK(client.receive());
        client.send({1, StatusRequest{}});
        CHECK(started(2));
    }

    TEST_CASE_FIXTURE(Fixture, "one connection has so many requests, others have theirs") {
        Client client(context, path);
        for (std::uint64_t id = 1; id <= 64; ++id) client.send({id, StatusRequest{}});
        REQUIRE(started(64));
        client.send({65, StatusRequest{}});
        REQUIRE(failed(client.receive()) != nullptr);
        Client other(context, path);
        other.send({1, StatusRequest{}});
        REQUIRE(started(65));
        emit(10, Done{});
        CHECK(client.receive()->id == 10);
        client.send({65, StatusRequest{}});
        CHECK(started(66));
    }

    TEST_CASE_FIXTURE(Fixture, "a flood is taken a turn at a time, and all of it in the end") {
        ScriptedService scripted;
        const std::string other = temporary.folder / "flooded.sock";
        ControlSocket flooded(context, other, "", scripted);
        std::vector<std::unique_ptr<Client>> clients;
        for (int i = 0; i < 40; ++i) {
            clients.push_back(std::make_unique<Client>(context, other));
            for (std::uint64_t id = 1; id <= 4; ++id) clients.back()->send({id, StatusRequest{}});
        }
        std::this_thread::sleep_for(300ms);  // Most of them wait now.
        http::Service::Ticket most = 0;
        const auto all = tests::eventually([&] {
            const auto before = scripted.last;
            flooded.poll();
            most = std::max(most, scripted.last - before);
            const bool at_once = flooded.next_deadline() <= ControlLoop::Clock::now();
            CHECK((scripted.last - before < 32 || at_once));
            return scripted.last == 160;
        });
        CHECK(all);
        CHECK(most <= 32);
    }

    TEST_CASE_FIXTURE(Fixture,
                      "what one connection and what all have running is bounded in bytes") {
        // Four of them fit a connection, and eight the device.
        const Generate large{.model = "m", .prompt = std::string(15u << 19, 'x')};
        Client one(context, path), two(context, path), three(context, path);
        for (std::uint64_t id = 1; id <= 5; ++id) one.send({id, large});
        const auto refused = one.receive();
        REQUIRE(failed(refused) != nullptr);
        CHECK(refused->id == 5);
        CHECK(failed(refused)->message.find("on this connection") != std::string::npos);
        for (std::uint64_t id = 1; id <= 4; ++id) two.send({id, large});
        REQUIRE(started(8));
        three.send({1, large});
        const auto full = three.receive();
        REQUIRE(failed(full) != nullptr);
        CHECK(failed(full)->message.find("of other clients") != std::string::npos);
        emit(1, Done{});
        CHECK(one.receive()->id == 1);
        three.send({2, large});
        CHECK(started(9));
    }

    TEST_CASE_FIXTURE(Fixture, "a client cancels its own requests only") {
        Client one(context, path);
        Client two(context, path);
        one.send({1, StatusRequest{}});
        REQUIRE(started(1));
        two.send({2, StatusRequest{}});
        REQUIRE(started(2));
        two.send({9, CancelRequest{1}});
        two.send({9, CancelRequest{77}});
        one.send({9, CancelRequest{1}});
        REQUIRE(control.eventually([&] { return !service.cancelled.empty(); }));
        CHECK(control.call([&] { return service.cancelled; }) ==
              std::vector<http::Service::Ticket>{1});
        emit(1, Failed{ErrorCode::cancelled, "cancelled"});
        CHECK(failed(one.receive()) != nullptr);
    }

    TEST_CASE_FIXTURE(Fixture, "a client that goes away has its requests cancelled") {
        {
            Client client(context, path);
            client.send({1, StatusRequest{}});
            client.send({2, StatusRequest{}});
            REQUIRE(started(2));
        }
        CHECK(control.eventually([&] {
            service.emit(1, Progress{"loading", 0, 0});
            return service.cancelled.size() >= 2;
        }));
        CHECK(control.call([&] {
            return std::set<http::Service::Ticket>(service.cancelled.begin(),
                                                   service.cancelled.end());
        }) == std::set<http::Service::Ticket>{1, 2});
        // Their last events are nobody's.
        emit(1, Done{});
        emit(2, Done{});
        Client next(context, path);
        next.send({1, StatusRequest{}});
        CHECK(started(3));
    }

    TEST_CASE_FIXTURE(Fixture, "events after the door has closed are dropped") {
        Client client(context, path);
        client.send({1, StatusRequest{}});
        REQUIRE(started(1));
        control.call([&] { door.reset(); });
        emit(1, Progress{"x", 0, 0});
        emit(1, Done{});
        CHECK_FALSE(std::filesystem::exists(path));
    }

    TEST_CASE_FIXTURE(Fixture, "a second daemon is refused and does not harm the first") {
        CHECK_THROWS_WITH_AS(open_second(path), doctest::Contains("another shoald"),
                             std::runtime_error);
        Client client(context, path);
        client.send({1, StatusRequest{}});
        CHECK(started(1));
    }

    TEST_CASE_FIXTURE(Fixture, "a socket file that a killed daemon left is replaced") {
        const std::string stale = temporary.folder / "stale.sock";
        const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        stale.copy(address.sun_path, sizeof address.sun_path - 1);
        REQUIRE(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        close(fd);
        REQUIRE(std::filesystem::exists(stale));
        CHECK_NOTHROW(open_second(stale));
    }

    TEST_CASE_FIXTURE(Fixture, "what is no socket is left alone") {
        const std::string file = temporary.folder / "precious.txt";
        std::ofstream(file) << "text";
        CHECK_THROWS_WITH_AS(open_second(file), doctest::Contains("no socket"), std::runtime_error);
        CHECK(std::filesystem::file_size(file) == 4);
        std::filesystem::create_symlink(file, temporary.folder / "link");
        CHECK_THROWS_AS(open_second(temporary.folder / "link"), std::runtime_error);
        CHECK(std::filesystem::is_symlink(temporary.folder / "link"));
        CHECK_THROWS_AS(open_second(temporary.folder), std::runtime_error);
    }

    TEST_CASE_FIXTURE(Fixture, "paths and groups that cannot be are told by key") {
        CHECK_THROWS_WITH_AS(open_second("/tmp/" + std::string(200, 'x')),
                             doctest::Contains("control.socket"), std::runtime_error);
        CHECK_THROWS_WITH_AS(open_second(temporary.folder / "g" / "s", "no-such-group"),
                             doctest::Contains("control.group"), std::runtime_error);
        std::ofstream(temporary.folder / "file") << "x";
        CHECK_THROWS_AS(open_second(temporary.folder / "file" / "s"), std::runtime_error);
    }

    TEST_CASE_FIXTURE(Fixture, "without a group only the owner may enter") {
        CHECK(mode(path) == 0600);
        CHECK(mode(temporary.folder / "run") == 0700);
    }

    TEST_CASE_FIXTURE(Fixture, "only owner and group may enter") {
        const group* own = getgrgid(getegid());
        REQUIRE(own != nullptr);
        const std::string name = own->gr_name;
        const std::string where = temporary.folder / "shared" / "control.sock";
        const ControlSocket second(context, where, name, service);
        CHECK(mode(where) == 0660);
        CHECK(mode(temporary.folder / "shared") == 0750);
    }
}

}  // namespace control_socket_test
