// What a plan over ZMTP meets besides its devices: a man in the middle, strangers, members of the
// cluster that are no devices of the plan, and peers that behave oddly.
#include "mesh/exchange/zmtp/zmtp_port.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <latch>
#include <mutex>
#include <optional>

#include "mesh/exchange/little_endian.hpp"
#include "tests/exchange/fixtures.hpp"
#include "tests/exchange/raw_peer.hpp"
#include "tests/exchange/zmtp/descriptors.hpp"
#include "tests/exchange/zmtp/meddling_proxy.hpp"
#include "tests/exchange/zmtp/shake.hpp"
#include "tests/exchange/zmtp/stream.hpp"

namespace shoal::mesh::testing::zmtp_port_test {

using namespace std::chrono_literals;
using namespace exchange::zmtp;
using exchange::FrameKind;
using exchange::kEveryone;
using exchange::kHeaderBytes;
using exchange::kSealAt;
using Passing = MeddlingProxy::Passing;
using Verdict = MeddlingProxy::Verdict;

namespace {

/// All-gathers whose sizes differ, most of them short.
void gather_steps(Exchange& exchange, std::uint64_t steps) {
    const auto size_of = [](std::uint64_t step, std::uint32_t rank) {
        return step % 9 == 5 ? 90'000 + rank : 300 + step;
    };
    Views theirs;
    for (std::uint64_t step = 1; step <= steps; ++step) {
        const std::uint32_t me = exchange.rank();
        expect_ok(exchange.all_gather(pattern(me, step, size_of(step, me)), theirs), step);
        for (std::uint32_t r = 0; r < exchange.size(); ++r) {
            expect_pattern(theirs[r], r, step, size_of(step, r));
        }
    }
}

template <typename Fixture>
void run_plan(Fixture& fixture, std::uint64_t steps) {
    const auto size = static_cast<std::uint32_t>(fixture.peers.size());
    run_ranks(size, [&](std::uint32_t rank) {
        const auto exchange = fixture.join(rank);
        gather_steps(*exchange, steps);
        Views theirs;
        expect_ok(exchange->gather(0, {}, theirs), steps + 1);
        end_together(fixture, *exchange);
    });
}

/// A plan of two that goes on until `beside`, who is none of it, has ended. Then rank 0 sends one
/// byte more.
template <typename Fixture>
void run_beside(Fixture& fixture, const std::function<void(Exchange&)>& first,
                const std::function<void()>& beside) {
    std::atomic<bool> enough{false};
    run_ranks(3, [&](std::uint32_t rank) {
        if (rank == 2) {
            try {
                beside();
            } catch (...) {
                enough = true;
                throw;
            }
            enough = true;
            return;
        }
        const auto exchange = fixture.join(rank);
        first(*exchange);
        Views theirs;
        bool last = false;
        for (std::uint64_t step = 1; !last; ++step) {
            const std::size_t size = rank == 0 && enough ? 101 : 100;
            expect_ok(exchange->all_gather(pattern(rank, step, size), theirs), step);
            last = theirs[0].size() == 101;
            expect_pattern(theirs[0], 0, step, last ? 101 : 100);
            expect_pattern(theirs[1], 1, step, 100);
        }
        expect_ok(exchange->gather(0, {}, theirs), 0);
        end_together(fixture, *exchange);
    });
}

/// Two sealed devices, and a man between the publisher of rank 0 and rank 1.
struct Meddled {
    explicit Meddled(const MeddlingProxy::Meddle& meddle)
        : proxy(fixture.planes[0]->port(), meddle) {
        fixture.peers[0].endpoint = proxy.endpoint();
    }
    /// With the right bytes everywhere.
    void run(std::uint64_t steps = 40) { run_plan(fixture, steps); }
    const DataPlaneStats& publisher() const { return fixture.planes[0]->stats(); }
    const DataPlaneStats& subscriber() const { return fixture.planes[1]->stats(); }

    SealedFixture fixture{2};
    MeddlingProxy proxy;
};

/// The payload of a sealed frame that is under way, where its head ends.
constexpr std::size_t kSealedBody = kHeaderBytes + kCounterBytes;

/// Meddles with every ninth frame, so that the plan gets on in between.
class Sometimes {
  public:
    explicit Sometimes(MeddlingProxy::Meddle meddle) : meddle_(std::move(meddle)) {}
    Verdict operator()(const Passing& passing) {
        const bool frame = passing.from_publisher && !passing.command && passing.number > 0;
        if (!frame || ++*frames_ % 9 != 0) return {passing.bytes, false};
        return meddle_(passing);
    }

  private:
    MeddlingProxy::Meddle meddle_;
    std::shared_ptr<int> frames_ = std::make_shared<int>(0);
};

/// A device's connection to the publisher at `port`, as `context` and with what is left of the
/// handshake's bytes; nothing when it was refused.
struct SealedStream {
    Stream stream;
    Introduction introduction;

    void subscribe(std::span<const std::byte> topic) {
        stream.send_command("SUBSCRIBE", introduction.secure->send.seal(topic));
    }
};
std::optional<SealedStream> connect_sealed(std::uint16_t port, const ZmqContext& context,
                                           const PublicKey& publisher) {
    Stream stream = Stream::to(port);
    End end{Handshake::of_subscriber(&context, publisher)};
    auto state = Handshake::State::going_on;
    while (state == Handshake::State::going_on) {
        stream.send(end.handshake.output());
        std::byte one{};
        if (::recv(stream.descriptor(), &one, 1, 0) <= 0) return std::nullopt;
        state = end.take({&one, 1});
    }
    expect(state == Handshake::State::done, end.handshake.why());
    return SealedStream{std::move(stream), end.handshake.introduction()};
}

Bytes frame_of(const PlanId& plan, std::uint64_t op, std::span<const std::byte> payload) {
    exchange::FrameHeader header;
    header.plan = plan;
    header.from = 1;
    header.op = op;
    header.length = static_cast<std::uint32_t>(payload.size());
    return RawPeer::frame(header, payload);
}

/// Rank 0 is real and in clear, rank 1 made by hand out of bare streams.
struct ByHand {
    explicit ByHand(std::uint8_t version = 1, int room = 0) : minor(version) {
        ids[0].bytes.fill(1);
        ids[1].bytes.fill(2);
        subscriber.emplace(Stream::to(plane.port(), room));
        subscriber->greet("SUB", minor);
    }
    /// `real` runs in a thread of its own with the exchange of rank 0.
    void run(const std::function<void(Exchange&)>& real, const std::function<void()>& by_hand) {
        run_ranks(2, [&](std::uint32_t rank) {
            if (rank == 0) {
                auto joined = plane.join(
                    plan, 0, {{ids[0], {}, "tcp://127.0.0.1:1"}, {ids[1], {}, listener.endpoint()}},
                    options, stop.get_token());
                expect(joined.exchange != nullptr, joined.why.what);
                real(*joined.exchange);
            } else {
                publisher.emplace(listener.accept());
                publisher->greet("PUB", minor);
                by_hand();
            }
        });
    }
    Bytes topic_of(std::uint32_t to) const {
        const auto topic = exchange::topic(plan, to);
        return {topic.begin(), topic.end()};
    }
    void subscribe(std::uint32_t to) const {
        if (minor >= 1) return subscriber->send_command("SUBSCRIBE", topic_of(to));
        Bytes message{std::byte{1}};
        append(message, topic_of(to));
        subscriber->send_message(message);
    }
    void join_plan() {
        subscribe(kEveryone);
        subscribe(1);
        say_hello();
    }
    void say_hello() {
        Bytes hello(20);
        hello[0] = std::byte{2};
        std::fill(hello.begin() + 4, hello.end(), std::byte{2});
        send(1, hello);
        expect(receive(FrameKind::data).op == 1, "the hello comes first");
    }
    void send(std::uint64_t op, std::span<const std::byte> bytes) const {
        publisher->send_message(frame_of(plan, op, bytes));
    }
    /// The next frame of that kind, whose payload is `payload` then.
    exchange::FrameHeader receive(FrameKind kind) {
        for (;;) {
            const auto got = subscriber->next();
            if (got.command) continue;
            exchange::FrameHeader header;
            expect(decode(got.body, header) == exchange::FrameError::none, "a frame");
            payload.assign(got.body.begin() + kHeaderBytes, got.body.end());
            if (header.kind == kind) return header;
        }
    }

    std::uint8_t minor;
    zmq::context_t context{1};
    PlanId plan = new_plan();
    DeviceId ids[2];
    DataPlane plane{context, DataPlaneOptions{.bind = "127.0.0.1"}};
    JoinOptions options{.timeout = 5s, .silence_limit = 5s, .spin = {}};
    std::stop_source stop;
    StreamListener listener;
    std::optional<Stream> subscriber, publisher;
    Bytes payload;
};

/// A PING whose PONG is as long as it may be.
Bytes ping() {
    Bytes out;
    append_command(out, "PING", Bytes(2 + 16, std::byte{7}));
    return out;
}

}  // namespace

TEST_SUITE_BEGIN("zmtp_port");

// --- a man in the middle

TEST_CASE("a man in the middle who changes, repeats, reorders or makes up frames is found out") {
    const auto change = [](std::size_t at) {
        return [at](const Passing& passing) {
            Bytes bytes = passing.bytes;
            bytes[std::min(passing.head + at, bytes.size() - 1)] ^= std::byte{0x10};
            return Verdict{bytes, false};
        };
    };
    const SealKey key = generate_seal_key();
    const auto with_another_key = [&](const Passing& passing) {
        const auto body = std::span(passing.bytes).subspan(passing.head);
        Bytes frame(body.begin(), body.begin() + kHeaderBytes);
        append(frame, Bytes(body.size() - kHeaderBytes - kSealBytes, std::byte{0x5a}));
        std::uint64_t counter = 0;
        for (std::size_t i = kCounterBytes; i-- > 0;) {
            counter = counter << 8 | std::to_integer<std::uint64_t>(body[kHeaderBytes + i]);
        }
        Sealer sealer(key, static_cast<Cipher>(body[kSealAt]), counter);
        Bytes sealed(frame.size() + kSealBytes);
        sealer.begin(frame, sealed);
        while (sealer.go_on(1 << 20) < sealed.size()) {
        }
        Verdict verdict;
        append_message(verdict.bytes, sealed);
        return verdict;
    };
    const auto in_clear = [](const Passing& passing) {
        const auto body = std::span(passing.bytes).subspan(passing.head);
        Bytes frame(body.begin(), body.begin() + kHeaderBytes);
        frame[kSealAt] = std::byte{0};
        append(frame, Bytes(body.size() - kHeaderBytes - kSealBytes, std::byte{0x5a}));
        Verdict verdict;
        append_message(verdict.bytes, frame);
        return verdict;
    };
    const auto twice = [](const Passing& passing) {
        Verdict verdict{passing.bytes, false};
        append(verdict.bytes, passing.bytes);
        return verdict;
    };
    const auto shorter = [](const Passing& passing) {
        Verdict verdict;
        append_message(verdict.bytes, std::span(passing.bytes).subspan(passing.head + 1));
        return verdict;
    };
    const std::pair<const char*, MeddlingProxy::Meddle> kinds[] = {
        {"a topic", change(3)},
        {"a receiver", change(29)},
        {"a cipher", change(kSealAt)},
        {"a number of a collective", change(40)},
        {"a counter", change(kHeaderBytes)},
        {"the end of a counter", change(kSealedBody - 1)},
        {"a payload", change(kSealedBody)},
        {"a tag", change(1 << 30)},
        {"another key", with_another_key},
        {"in clear", in_clear},
        {"twice", twice},
        {"shorter", shorter},
    };
    for (const auto& kind : kinds) {
        const std::string what = kind.first;
        CAPTURE(what);
        Meddled meddled{Sometimes(kind.second)};
        meddled.run();
        CHECK(meddled.subscriber().forged >= 2);
        CHECK(meddled.proxy.connections() > static_cast<int>(meddled.subscriber().forged) / 2);
        CHECK(meddled.subscriber().malformed == 0);
        CHECK(meddled.publisher().forged == 0);
        CHECK(meddled.publisher().malformed == 0);
    }
}

TEST_CASE("a frame that another overtook on its way is refused") {
    Bytes held;
    int swapped = 0;
    Meddled meddled([&](const Passing& passing) {
        Verdict verdict{passing.bytes, false};
        if (!passing.from_publisher || passing.command || passing.number == 0) return verdict;
        if (!held.empty()) {
            append(verdict.bytes, std::exchange(held, {}));
            ++swapped;
        } else if (passing.number % 9 == 8) {
            held = std::exchange(verdict.bytes, {});
        }
        return verdict;
    });
    meddled.run();
    CHECK(swapped >= 2);
    CHECK(meddled.subscriber().forged >= 1);
    CHECK(meddled.subscriber().malformed == 0);
}

TEST_CASE("a frame, or a key, of an earlier connection is refused on a later one") {
    for (const bool key : {false, true}) {
        CAPTURE(key);
        Bytes recorded;
        int replayed = 0;
        Meddled meddled([&](const Passing& passing) {
            Verdict verdict{passing.bytes, false};
            if (!passing.from_publisher || passing.number < 2) return verdict;
            // Number 1 was the welcome, 2 the key, and frames from there on. The old one comes
            // before any new one: only the key has said by then which counters are new.
            if (passing.connection == 0) {
                if (passing.number == (key ? 2 : 8)) recorded = passing.bytes;
                verdict.cut = passing.number == 12;
            } else if (replayed < 3 && passing.number == (key ? 2 : 3)) {
                verdict.bytes = recorded;
                append(verdict.bytes, passing.bytes);
                ++replayed;
            }
            return verdict;
        });
        meddled.run();
        CHECK(replayed == 3);
        CHECK(meddled.subscriber().forged == 3);
    }
}

TEST_CASE("a frame before the key, and one that was said to be the key, is refused") {
    for (const bool as_key : {false, true}) {
        CAPTURE(as_key);
        int done = 0;
        Meddled meddled([&](const Passing& passing) {
            Verdict verdict{passing.bytes, false};
            if (!passing.from_publisher || !passing.command || passing.number != 2) return verdict;
            if (++done > 3) return verdict;
            Bytes first;
            if (as_key) {
                append_command(first, "KEY", Bytes(100, std::byte{1}));
            } else {
                append_message(first, Bytes(200, std::byte{1}));
            }
            append(first, verdict.bytes);
            return Verdict{first, false};
        });
        meddled.run();
        CHECK(meddled.subscriber().forged == 3);
    }
}

TEST_CASE("handshakes and subscriptions that were meddled with are made again") {
    enum class What { flip, twice, swap, rename, cut };
    for (const What what : {What::flip, What::twice, What::swap, What::rename, What::cut}) {
        for (const bool from_publisher : {false, true}) {
            CAPTURE(static_cast<int>(what));
            CAPTURE(from_publisher);
            // Nobody can help it when a welcome never comes.
            if (what == What::swap && from_publisher) continue;
            int done = 0;
            Bytes held;
            Meddled meddled([&](const Passing& passing) {
                Verdict verdict{passing.bytes, false};
                if (passing.from_publisher != from_publisher) return verdict;
                // From the publisher the welcome, from the subscriber its first subscription.
                if (passing.number == (from_publisher ? 1 : 2) && done < 3) {
                    ++done;
                    switch (what) {
                        case What::flip:
                            verdict.bytes.back() ^= std::byte{1};
                            break;
                        case What::twice:
                            append(verdict.bytes, passing.bytes);
                            break;
                        case What::swap:
                            held = std::exchange(verdict.bytes, {});
                            break;
                        case What::rename: {
                            const auto body = std::span(passing.bytes).subspan(passing.head);
                            verdict.bytes.clear();
                            append_command(verdict.bytes, from_publisher ? "READY" : "CANCEL",
                                           decode_command(body)->data);
                            break;
                        }
                        case What::cut:
                            verdict.bytes.resize(passing.bytes.size() / 2);
                            verdict.cut = true;
                            break;
                    }
                } else if (!held.empty()) {
                    append(verdict.bytes, std::exchange(held, {}));
                }
                return verdict;
            });
            meddled.run(10);
            // A second welcome is a command that says nothing.
            const bool harmless = what == What::twice && from_publisher;
            CHECK(done == (harmless ? 1 : 3));
            CHECK(meddled.proxy.connections() >= done + (harmless ? 0 : 1));
            CHECK(meddled.publisher().malformed == 0);
        }
    }
}

TEST_CASE("frames that a man in the middle keeps back are asked for") {
    int dropped = 0;
    Meddled meddled(Sometimes([&](const Passing&) {
        ++dropped;
        return Verdict{};
    }));
    meddled.run();
    CHECK(dropped >= 3);
    CHECK(meddled.subscriber().asked >= 3);
    CHECK(meddled.subscriber().forged == 0);
    CHECK(meddled.proxy.connections() == 1);
}

TEST_CASE("a connection that dies in the middle of a frame is made again") {
    int cut = 0;
    Meddled meddled(Sometimes([&](const Passing& passing) {
        Verdict verdict{passing.bytes, true};
        // Within the head, the header, the counter, the payload, the tag.
        constexpr std::size_t kAt[] = {1, 5, 30, 52, 100, 0};
        const std::size_t at = kAt[static_cast<std::size_t>(cut++) % std::size(kAt)];
        verdict.bytes.resize(at == 0 ? passing.bytes.size() - 1 : at);
        return verdict;
    }));
    meddled.run(60);
    CHECK(cut >= 6);
    CHECK(meddled.subscriber().forged == 0);
    CHECK(meddled.subscriber().malformed == 0);
}

TEST_CASE("what is no ZMTP in the middle of a connection ends that, and commands do not") {
    int done = 0;
    Meddled garbage(Sometimes([&](const Passing& passing) {
        Verdict verdict{bytes("\xff\xff\xff"), false};
        append(verdict.bytes, passing.bytes);
        ++done;
        return verdict;
    }));
    garbage.run();
    CHECK(garbage.subscriber().malformed >= 3);
    CHECK(garbage.subscriber().forged == 0);
    Meddled commands(Sometimes([&](const Passing& passing) {
        Verdict verdict;
        append_command(verdict.bytes, "UNKNOWN", bytes("whatever it means"));
        append_command(verdict.bytes, "ERROR", bytes("\x04none"));
        append(verdict.bytes, ping());
        append(verdict.bytes, passing.bytes);
        return verdict;
    }));
    commands.run();
    CHECK(commands.proxy.connections() == 1);
    CHECK(commands.subscriber().forged == 0);
    CHECK(commands.subscriber().malformed == 0);
}

// --- who is not of the plan

TEST_CASE("a member of the cluster that is not of the plan gets nothing") {
    SealedFixture fixture(3);
    auto spy = connect_sealed(fixture.planes[0]->port(), *fixture.contexts[2],
                              fixture.peers[0].public_key);
    REQUIRE(spy);
    for (const std::uint32_t to : {kEveryone, 0u, 1u, 2u}) {
        const auto topic = exchange::topic(fixture.plan, to);
        spy->subscribe(topic);
    }
    spy->subscribe({});
    fixture.peers.pop_back();
    run_plan(fixture, 40);
    CHECK(spy->stream.there().empty());
    // It is a member still, and kept for the next plan.
    pollfd at{spy->stream.descriptor(), POLLIN | POLLRDHUP, 0};
    CHECK(::poll(&at, 1, 0) == 0);
    for (const auto& plane : fixture.planes) CHECK(plane->stats().resubscribed == 0);
}

TEST_CASE("a device of the plan that asks for another's frames gets its own") {
    SealedFixture fixture(3);
    // Rank 2 has a second connection, by which it subscribes to what is for rank 1.
    auto spy = connect_sealed(fixture.planes[0]->port(), *fixture.contexts[2],
                              fixture.peers[0].public_key);
    REQUIRE(spy);
    for (const std::uint32_t to : {kEveryone, 1u}) {
        const auto topic = exchange::topic(fixture.plan, to);
        spy->subscribe(topic);
    }
    run_plan(fixture, 20);
    CHECK(spy->stream.there().empty());
}

TEST_CASE("a stranger without a key learns that there is a data plane, and changes nothing") {
    SealedFixture fixture(2);
    Bytes hello, subscription;
    MeddlingProxy proxy(fixture.planes[0]->port(), [&](const Passing& passing) {
        if (!passing.from_publisher && passing.number == 1) hello = passing.bytes;
        if (!passing.from_publisher && passing.number == 2) subscription = passing.bytes;
        return Verdict{passing.bytes, false};
    });
    fixture.peers[0].endpoint = proxy.endpoint();
    std::latch in_plan(3);
    const auto stranger = [&] {
        in_plan.arrive_and_wait();
        const std::uint16_t port = fixture.planes[0]->port();
        KeyHolder nobody;
        CHECK_FALSE(connect_sealed(port, nobody.context, fixture.peers[0].public_key));
        const auto greeting = encode(Greeting{1, "SHOAL", false});
        const auto answer_to = [&](std::span<const std::byte> said) {
            const Stream stream = Stream::to(port);
            stream.send(greeting);
            (void)stream.try_send(said);
            Bytes answer = stream.read(kGreetingBytes);
            CHECK(answer[8] == std::byte{1});
            answer.clear();
            std::byte byte{};
            while (::recv(stream.descriptor(), &byte, 1, 0) > 0) answer.push_back(byte);
            return answer;
        };
        // Whatever is no hello of a member gets no answer.
        CHECK(answer_to(subscription).empty());
        CHECK(answer_to(flipped(hello, 8 * 60)).empty());
        // A recorded one gets one that only the member could read, and then its next words count.
        Bytes both = hello;
        append(both, subscription);
        const Bytes answer = answer_to(both);
        Head head;
        CHECK(decode_head(answer, head) == HeadState::valid);
        CHECK(answer.size() == head.size + head.length);
        CHECK(decode_command(std::span(answer).subspan(head.size))->name == "WELCOME");
        // Nor in clear.
        const Stream clear = Stream::to(port);
        clear.send(encode(Greeting{1, "NULL", false}));
        CHECK(clear.ends());
    };
    run_beside(
        fixture, [&](Exchange&) { in_plan.arrive_and_wait(); }, stranger);
    for (const auto& plane : fixture.planes) {
        CHECK(plane->stats().forged == 0);
        CHECK(plane->stats().malformed == 0);
        CHECK(plane->stats().resubscribed == 0);
    }
}

TEST_CASE_TEMPLATE("strangers keep no plan from being joined", Fixture, ZmtpFixture,
                   SealedFixture) {
    const Descriptors descriptors(4096);
    if (!descriptors.enough) return;
    Fixture fixture(2);
    std::vector<Stream> silent, slow;
    for (const auto& plane : fixture.planes) {
        for (int i = 0; i < 500; ++i) silent.push_back(Stream::to(plane->port()));
        for (int i = 0; i < 50; ++i) slow.push_back(Stream::to(plane->port()));
    }
    std::jthread trickle([&](const std::stop_token& stop) {
        const auto greeting = encode(Greeting{1, "NULL", false});
        for (std::size_t at = 0; !stop.stop_requested(); ++at) {
            for (const Stream& stream : slow) {
                (void)stream.try_send(std::span(greeting).subspan(at % greeting.size(), 1));
            }
            std::this_thread::sleep_for(5ms);
        }
    });
    std::jthread garbage([&](const std::stop_token& stop) {
        for (std::uint64_t i = 0; !stop.stop_requested(); ++i) {
            const Stream stream = Stream::to(fixture.planes[i % 2]->port());
            if (i % 3 == 0) (void)stream.try_send(encode(Greeting{1, "SHOAL", false}));
            if (i % 3 == 1) (void)stream.try_send(encode(Greeting{1, "NULL", false}));
            (void)stream.try_send(pattern(9, i, i % 5000));
            std::this_thread::sleep_for(1ms);
        }
    });
    for (int i = 0; i < 3; ++i) {
        fixture.plan = new_plan();
        run_ranks(2, [&](std::uint32_t rank) {
            const auto exchange = fixture.join(rank);
            gather_steps(*exchange, 20);
        });
    }
}

// --- in clear, everybody may listen

TEST_CASE("a socket of libzmq that listens to everything hears everything") {
    ZmtpFixture fixture(2);
    zmq::context_t context;
    const auto spectator = [&] {
        zmq::socket_t socket(context, zmq::socket_type::sub);
        socket.set(zmq::sockopt::linger, 0);
        socket.set(zmq::sockopt::rcvtimeo, 10000);
        socket.set(zmq::sockopt::subscribe, "");
        socket.connect(fixture.peers[0].endpoint);
        std::uint64_t last = 0;
        for (int i = 0; i < 100; ++i) {
            zmq::message_t message;
            CHECK(socket.recv(message));
            exchange::FrameHeader header;
            const std::span frame(message.data<std::byte>(), message.size());
            CHECK(decode(frame, header) == exchange::FrameError::none);
            CHECK(header.from == 0);
            if (header.kind != FrameKind::data) continue;
            if (last != 0) CHECK(header.op == last + 1);
            last = header.op;
        }
    };
    run_beside(
        fixture, [](Exchange&) {}, spectator);
}

TEST_CASE("who listens and does not read misses frames, and stalls nobody") {
    ZmtpFixture fixture(2);
    constexpr std::uint64_t kLong = 24;
    constexpr std::size_t kSize = 4 << 20;
    const auto body = pattern(0, 1, kSize);
    const auto payload_of = [&](std::uint64_t step) {
        auto bytes = body;
        exchange::put(bytes.data(), step);
        return bytes;
    };
    const Stream lazy = Stream::to(fixture.planes[0]->port());
    lazy.greet("SUB");
    lazy.send_command("SUBSCRIBE", {});
    std::latch all_sent(3);
    const auto spectator = [&] {
        all_sent.arrive_and_wait();
        std::uint64_t last = 0, count = 0;
        bool missed = false;
        while (last <= 1 + kLong) {
            const auto got = lazy.next();
            exchange::FrameHeader header;
            CHECK(decode(got.body, header) == exchange::FrameError::none);
            if (header.kind != FrameKind::data) continue;
            if (header.op > 1 && header.op <= 1 + kLong) {
                ++count;
                CHECK(std::ranges::equal(std::span(got.body).subspan(kHeaderBytes),
                                         payload_of(header.op - 1)));
            }
            missed = missed || header.op > last + 1;
            last = header.op;
        }
        // 64 MiB wait for one subscriber, and what the system holds, and no more.
        CHECK(count >= 15);
        CHECK(count < kLong);
        CHECK(missed);
    };
    const auto first = [&](Exchange& exchange) {
        Views theirs;
        for (std::uint64_t step = 1; step <= kLong; ++step) {
            const auto mine = exchange.rank() == 0 ? payload_of(step) : pattern(1, step, 10);
            expect_ok(exchange.all_gather(mine, theirs), step);
            CHECK(std::ranges::equal(theirs[0], payload_of(step)));
        }
        all_sent.arrive_and_wait();
    };
    run_beside(fixture, first, spectator);
}

TEST_CASE("a listener whose queue was full gets it, though the port only looks and never waits") {
    Connector connector("127.0.0.1", 0, nullptr);
    const StreamListener nobody;
    std::vector<Peer> devices(2);
    devices[0].id.bytes.fill(1);
    devices[1].id.bytes.fill(2);
    devices[1].endpoint = "tcp://127.0.0.1:" + std::to_string(nobody.port());
    DataPlaneStats stats;
    ZmtpPort port(connector, {new_plan(), 0, devices}, false, stats, {});
    const auto make = [&](std::size_t size) {
        const exchange::Frame frame = port.make(size);
        std::ranges::fill(frame->bytes, std::byte{0});
        return frame;
    };
    const auto brief = make(kHeaderBytes), lengthy = make(4 << 20);
    const Stream lazy = Stream::to(connector.port());
    lazy.greet("SUB");
    lazy.send_command("SUBSCRIBE", {});
    const auto limit = Clock::now() + std::chrono::seconds(tests::by_speed(10, 60));
    while (lazy.there().empty()) {
        REQUIRE(Clock::now() < limit);
        CHECK(port.send(kEveryone, brief));
        port.wait(1ms);
    }
    for (int i = 0; i < 24; ++i) CHECK(port.send(kEveryone, lengthy));
    std::size_t came = 0;
    while (came < std::size_t{60} << 20 && Clock::now() < limit) {
        CHECK(port.send(kEveryone, brief));
        port.look();
        came += lazy.there().size();
    }
    CHECK(came >= std::size_t{60} << 20);
}

TEST_CASE("listeners that come and go in the middle of frames disturb nobody") {
    ZmtpFixture fixture(3);
    std::vector<std::jthread> listeners;
    for (std::uint32_t i = 0; i < 3; ++i) {
        listeners.emplace_back([&, i](const std::stop_token& stop) {
            for (std::uint32_t turn = i; !stop.stop_requested(); turn += 7) {
                const Stream stream = Stream::to(fixture.planes[turn % 3]->port(), 8192);
                stream.greet("SUB");
                stream.send_command("SUBSCRIBE", {});
                for (std::uint32_t k = 0; k < turn % 5; ++k) {
                    (void)stream.there();
                    std::this_thread::sleep_for(1ms);
                }
                // With a reset, every second time.
                const linger now{1, 0};
                if (turn % 2 == 0) {
                    ::setsockopt(stream.descriptor(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
                }
            }
        });
    }
    run_ranks(3, [&](std::uint32_t rank) {
        const auto exchange = fixture.join(rank);
        Views theirs;
        for (std::uint64_t step = 1; step <= 60; ++step) {
            const std::size_t size = step % 3 == 0 ? 1 << 20 : 500;
            expect_ok(exchange->all_gather(pattern(rank, step, size), theirs), step);
            for (std::uint32_t r = 0; r < 3; ++r) expect_pattern(theirs[r], r, step, size);
        }
        expect_ok(exchange->gather(0, {}, theirs), 0);
        end_together(fixture, *exchange);
    });
}

TEST_CASE("with more listeners than there is room for, the first goes, and no device of the plan") {
    const Descriptors descriptors(4096);
    if (!descriptors.enough) return;
    ZmtpFixture fixture(2);
    std::vector<Stream> listeners;
    std::latch in_plan(3);
    const auto crowd = [&] {
        in_plan.arrive_and_wait();
        for (std::size_t i = 0; i < kMaxWaiting + 20; ++i) {
            listeners.push_back(Stream::to(fixture.planes[0]->port()));
            listeners.back().greet("SUB");
            listeners.back().send_command("SUBSCRIBE", bytes("nothing"));
        }
        expect(listeners.front().ends(), "the first one's connection ends");
    };
    run_beside(
        fixture, [&](Exchange&) { in_plan.arrive_and_wait(); }, crowd);
    CHECK(fixture.planes[0]->stats().resubscribed == 0);
}

// --- peers that are not quite like ours

TEST_CASE("peers of ZMTP 3.0 subscribe by messages, and are subscribed to by messages") {
    ByHand peer(0);
    peer.run([](Exchange& exchange) { gather_steps(exchange, 20); },
             [&] {
                 for (const std::uint32_t to : {kEveryone, 0u}) {
                     Bytes expected{std::byte{1}};
                     append(expected, peer.topic_of(to));
                     const auto got = peer.publisher->next();
                     expect(!got.command && got.body == expected, "a subscription by message");
                 }
                 peer.join_plan();
                 for (std::uint64_t op = 2; op <= 21; ++op) {
                     const std::uint64_t step = op - 1;
                     const std::size_t size = step % 9 == 5 ? 90'001 : 300 + step;
                     peer.send(op, pattern(1, step, size));
                     expect(peer.receive(FrameKind::data).op == op, "its frame");
                 }
             });
    CHECK(peer.plane.stats().malformed == 0);
}

TEST_CASE("who cancels its subscription is not there until it subscribes again") {
    for (const std::uint8_t minor : {std::uint8_t{0}, std::uint8_t{1}}) {
        CAPTURE(minor);
        ByHand peer(minor);
        peer.run([](Exchange& exchange) { gather_steps(exchange, 3); },
                 [&] {
                     peer.join_plan();
                     expect(peer.receive(FrameKind::data).op == 2, "its frame");
                     for (const std::uint32_t to : {kEveryone, 1u}) {
                         if (minor == 1) {
                             peer.subscriber->send_command("CANCEL", peer.topic_of(to));
                         } else {
                             Bytes message{std::byte{0}};
                             append(message, peer.topic_of(to));
                             peer.subscriber->send_message(message);
                         }
                     }
                     for (const std::uint32_t to : {kEveryone, 1u}) peer.subscribe(to);
                     // What it has not acknowledged may be lost.
                     auto again = peer.receive(FrameKind::data);
                     if (again.op == 1) again = peer.receive(FrameKind::data);
                     expect(again.op == 2 && again.to == 1, "its frame once more");
                     for (std::uint64_t op = 2; op <= 4; ++op) {
                         peer.send(op, pattern(1, op - 1, 300 + op - 1));
                         if (op > 2) expect(peer.receive(FrameKind::data).op == op, "the next");
                     }
                 });
        CHECK(peer.plane.stats().resubscribed == 1);
    }
}

TEST_CASE("who subscribes to the same twice has lost nothing and is sent nothing again") {
    ByHand peer;
    peer.run([](Exchange& exchange) { gather_steps(exchange, 2); },
             [&] {
                 peer.join_plan();
                 expect(peer.receive(FrameKind::data).op == 2, "its frame");
                 for (int i = 0; i < 50; ++i) peer.subscribe(1);
                 // Answered behind the subscriptions.
                 peer.subscriber->send(ping());
                 while (!peer.subscriber->next().command) {
                 }
                 peer.send(2, pattern(1, 1, 301));
                 expect(peer.receive(FrameKind::data).op == 3, "the next");
                 peer.send(3, pattern(1, 2, 302));
             });
    CHECK(peer.plane.stats().resubscribed == 0);
}

TEST_CASE("many words at once are all heard") {
    ByHand peer;
    Bytes said;
    for (int i = 0; i < 300; ++i) append(said, ping());
    for (const std::uint32_t to : {kEveryone, 1u}) {
        append_command(said, "SUBSCRIBE", peer.topic_of(to));
    }
    peer.subscriber->send(said);
    peer.run([](Exchange& exchange) { gather_steps(exchange, 1); },
             [&] {
                 peer.say_hello();
                 peer.send(2, pattern(1, 1, 301));
             });
}

TEST_CASE("a ping is answered with its context") {
    ByHand peer;
    peer.run([](Exchange& exchange) { gather_steps(exchange, 1); },
             [&] {
                 peer.join_plan();
                 for (const Stream* stream : {&*peer.publisher, &*peer.subscriber}) {
                     for (const std::string context : {"", "a", "0123456789abcdef"}) {
                         stream->send_command("PING", bytes("\x01\x02" + context));
                         auto got = stream->next();
                         while (!got.command || decode_command(got.body)->name == "SUBSCRIBE") {
                             got = stream->next();
                         }
                         const auto pong = decode_command(got.body);
                         expect(pong && pong->name == "PONG", "a PONG");
                         expect(text_of(pong->data) == context, "with the context");
                     }
                 }
                 peer.send(2, pattern(1, 1, 301));
             });
}

// Answers that nobody takes would fill the memory.
TEST_CASE("who asks without end and does not read the answers loses its connection") {
    for (const bool by_publisher : {false, true}) {
        CAPTURE(by_publisher);
        ByHand peer(1, 4096);
        Bytes many;
        while (many.size() < 60'000) append(many, ping());
        bool lost = false;
        peer.run(
            [](Exchange& exchange) {
                Views theirs;
                (void)exchange.all_gather(pattern(0, 1, 10), theirs);
            },
            [&] {
                peer.join_plan();
                const Stream& stream = by_publisher ? *peer.publisher : *peer.subscriber;
                for (int i = 0; i < 2000 && !lost; ++i) lost = !stream.try_send(many);
                peer.stop.request_stop();
            });
        CHECK(lost);
    }
}

TEST_CASE("a peer that says much keeps nobody from being stopped") {
    ByHand peer;
    Bytes many;
    while (many.size() < 60'000) append(many, ping());
    std::atomic<bool> over{false};
    bool in_time = false;
    peer.run(
        [&](Exchange& exchange) {
            Views theirs;
            expect(exchange.all_gather({}, theirs) == ExchangeStatus::aborted, "stopped");
            over = true;
        },
        [&] {
            peer.join_plan();
            std::jthread reader([&] {
                std::byte some[4096];
                while (::recv(peer.publisher->descriptor(), some, sizeof some, 0) > 0) {
                }
            });
            const auto limit = Clock::now() + 5s;
            bool lost = false;
            for (int i = 0; !over && Clock::now() < limit; ++i) {
                lost = lost || !peer.publisher->try_send(many);
                if (i >= 20 || lost) peer.stop.request_stop();
                if (lost) std::this_thread::sleep_for(1ms);
            }
            in_time = over;
            ::shutdown(peer.publisher->descriptor(), SHUT_RDWR);
        });
    CHECK(in_time);
}

TEST_CASE("a ping that is none ends the connection, and the plan goes on over the next") {
    for (const std::size_t size : {0u, 1u, 19u, 1000u}) {
        CAPTURE(size);
        ByHand peer;
        peer.run([](Exchange& exchange) { gather_steps(exchange, 1); },
                 [&] {
                     peer.join_plan();
                     peer.publisher->send_command("PING", Bytes(size));
                     expect(peer.publisher->ends(), "the connection ends");
                     peer.publisher.emplace(peer.listener.accept());
                     peer.publisher->greet("PUB");
                     peer.send(2, pattern(1, 1, 301));
                 });
    }
}

TEST_CASE("a device that reads slowly, or not for a while, gets everything") {
    ByHand peer;
    constexpr std::uint64_t kFrames = 6;
    constexpr std::size_t kSize = 3 << 20;
    peer.run(
        [](Exchange& exchange) {
            std::span<const std::byte> received;
            for (std::uint64_t op = 2; op < 2 + kFrames; ++op) {
                expect_ok(exchange.broadcast(0, pattern(0, op, kSize), received), op);
            }
        },
        [&] {
            peer.join_plan();
            for (std::uint64_t op = 2; op < 2 + kFrames; ++op) {
                std::this_thread::sleep_for(op == 3 ? 200ms : 10ms);
                expect(peer.receive(FrameKind::data).op == op, "in order");
                expect_pattern(peer.payload, 0, op, kSize);
            }
        });
    CHECK(peer.plane.stats().resent == 0);
}

TEST_SUITE_END();

}  // namespace shoal::mesh::testing::zmtp_port_test
