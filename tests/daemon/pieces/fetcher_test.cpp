#include "daemon/pieces/fetcher.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/daemon/scripted_holders.hpp"
#include "tests/daemon/support.hpp"
#include "tests/instrumented.hpp"

namespace fetcher_test {

using namespace shoal;
using namespace shoal::tests;
using mesh::messages::PieceReply;
using mesh::messages::PieceRequest;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

struct Fixture {
    TemporaryFolder temporary;
    ScriptedHolders holders{wide_model(), temporary.folder};

    // The embedding takes ten messages, the header two.
    std::vector<model::Piece> embedding() const {
        return {model::whole(holders.source().header().tensor("token_embd.weight"))};
    }
    void check_embedding() const {
        const auto stored = holders.store().open("m", holders.file_bytes(), true);
        const model::Piece piece = embedding()[0];
        const auto& info = holders.source().header().tensor(piece.tensor);
        std::vector<std::byte> a(info.bytes);
        std::vector<std::byte> b(info.bytes);
        stored->source->read(piece, 0, a);
        holders.source().read(piece, 0, b);
        CHECK(a == b);
    }
    // Answers the header and what describes the model, up to the first request for a piece.
    void describe() {
        while (!holders.done && holders.requests.front().request.tensor != "token_embd.weight") {
            const Asked asked = holders.take();
            holders.reply(asked, holders.answer(asked));
        }
    }
};

}  // namespace

TEST_SUITE("Fetcher") {
    TEST_CASE_FIXTURE(Fixture, "the pieces come from all holders in turn") {
        holders.start(embedding());
        std::set<mesh::DeviceId> asked;
        while (!holders.done) {
            REQUIRE(holders.requests.size() <= Fetcher::kWindow);
            const Asked next = holders.take();
            asked.insert(next.holder);
            holders.reply(next, holders.answer(next));
        }
        CHECK(holders.done == "");
        CHECK(asked.size() == 2);
        CHECK(holders.progress_done == holders.progress_total);
        check_embedding();
    }

    TEST_CASE_FIXTURE(Fixture, "answers may come in any order, twice, late or never") {
        for (unsigned seed = 1; seed <= by_speed(20U, 4U); ++seed) {
            CAPTURE(seed);
            std::mt19937 random(seed);
            const auto chance = [&](unsigned percent) { return random() % 100 < percent; };
            std::filesystem::remove_all(holders.folder());
            holders.start(embedding());
            std::vector<Asked> waiting;
            for (int turn = 0; turn < 10'000 && !holders.done; ++turn) {
                while (!holders.requests.empty()) {
                    Asked asked = holders.take();
                    if (chance(15)) continue;  // lost
                    waiting.push_back(asked);
                    if (chance(15)) waiting.push_back(asked);
                }
                if (waiting.empty() || chance(10)) {
                    holders.pass(seconds(11));
                    continue;
                }
                const std::size_t i = random() % waiting.size();
                const Asked asked = waiting[i];
                waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(i));
                holders.reply(asked, holders.answer(asked));
            }
            REQUIRE(holders.done == "");
            check_embedding();
        }
    }

    TEST_CASE_FIXTURE(Fixture, "an answer after the time-out counts, so that slow links come on") {
        holders.start(embedding());
        describe();
        for (int turn = 0; turn < 40 && !holders.done; ++turn) {
            // Each answer takes longer than a holder is waited for.
            std::vector<Asked> slow(holders.requests.begin(), holders.requests.end());
            holders.requests.clear();
            holders.pass(seconds(11));
            for (const Asked& asked : slow) {
                if (!holders.done) holders.reply(asked, holders.answer(asked));
            }
        }
        CHECK(holders.done == "");
        check_embedding();
    }

    TEST_CASE_FIXTURE(Fixture,
                      "an answer of the wrong device or to an unknown request is ignored") {
        holders.start(embedding());
        const Asked asked = holders.take();
        PieceReply wrong;
        wrong.error = "no";
        holders.fetcher().on_reply(asked.id, device_id(77), wrong, Fetcher::Clock::now());
        holders.fetcher().on_reply(asked.id + 1000, asked.holder, wrong, Fetcher::Clock::now());
        CHECK_FALSE(holders.done);
        holders.reply(asked, holders.answer(asked));
        holders.serve();
        CHECK(holders.done == "");
    }

    TEST_CASE_FIXTURE(Fixture, "what one holder answers badly another is asked for") {
        using Spoil = std::function<void(PieceReply&)>;
        const std::vector<std::pair<std::string, Spoil>> ways = {
            {"an error",
             [](PieceReply& r) {
                 r = {{}, 0, "the file is gone"};
             }},
            {"nothing", [](PieceReply& r) { r.data.clear(); }},
            {"too little", [](PieceReply& r) { r.data.resize(r.data.size() / 2); }},
            {"too much", [](PieceReply& r) { r.data.resize(r.data.size() + 1); }},
            {"another total",
             [](PieceReply& r) {
                 r.total = ~0ULL;
                 r.data.clear();
             }},
            {"no total",
             [](PieceReply& r) {
                 r.total = 0;
                 r.data.clear();
             }},
        };
        for (const auto& way : ways) {
            const auto& spoil = way.second;
            CAPTURE(way.first);
            std::filesystem::remove_all(holders.folder());
            holders.start(embedding());
            while (!holders.done && !holders.requests.empty()) {
                const Asked asked = holders.take();
                PieceReply reply = holders.answer(asked);
                if (asked.holder == device_id(8)) spoil(reply);
                holders.reply(asked, std::move(reply));
            }
            CHECK(holders.done == "");
            check_embedding();
        }
    }

    TEST_CASE_FIXTURE(Fixture, "when every holder refuses, the fetch ends with the reason") {
        holders.start(embedding());
        while (!holders.done && !holders.requests.empty()) {
            holders.reply(holders.take(), {{}, 0, "the disk is broken"});
        }
        REQUIRE(holders.done);
        CHECK(holders.done->find("the disk is broken") != std::string::npos);
        CHECK(holders.done->find(device_id(9).hex().substr(0, 8)) != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a header longer than its file is refused before it fills the disk") {
        holders.start(embedding());
        while (!holders.done && !holders.requests.empty()) {
            const Asked asked = holders.take();
            PieceReply reply = holders.answer(asked);
            reply.total = holders.file_bytes() + 1;
            holders.reply(asked, std::move(reply));
        }
        REQUIRE(holders.done);
        CHECK(holders.done->find("length") != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "a restart goes on where the fetch ended") {
        holders.start(embedding());
        const std::size_t kept = 7;
        for (std::size_t i = 0; i < kept; ++i) {
            const Asked asked = holders.take();
            holders.reply(asked, holders.answer(asked));
        }
        REQUIRE_FALSE(holders.done);
        holders.start(embedding());
        holders.serve();
        CHECK(holders.done == "");
        CHECK(holders.sent == 13 - kept);
        check_embedding();

        holders.start(embedding());
        CHECK(holders.done == "");
        CHECK(holders.sent == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "what is here as part of a larger piece is not fetched") {
        holders.start(holders.whole_slice());
        holders.serve();
        REQUIRE(holders.done == "");
        shard::Slice part = holders.whole_slice();
        part.q_heads = {1, 3};
        part.kv_heads = {0, 2};
        part.ffn = {32, 64};
        part.vocab = {100, 20'000};
        holders.start(part);
        CHECK(holders.done == "");
        CHECK(holders.sent == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "a piece that is wanted twice, or within another, comes once") {
        auto pieces = embedding();
        pieces.insert(pieces.begin(), pieces[0]);
        pieces.push_back(pieces[0]);
        pieces.push_back({"token_embd.weight", 5, 30'000, 0, 64});
        holders.start(pieces);
        holders.serve();
        CHECK(holders.done == "");
        CHECK(holders.progress_total == 40'000 * 64 * 4);
        CHECK(holders.sent == 13);  // header 2, rope_freqs 1, embedding 10
        check_embedding();
    }

    TEST_CASE_FIXTURE(Fixture, "without anyone to ask it ends after a while") {
        holders.reachable = [](const auto&) { return false; };
        holders.start(embedding());
        holders.pass(seconds(25));
        CHECK_FALSE(holders.done);
        holders.pass(seconds(25));
        REQUIRE(holders.done);
        CHECK(holders.done->find("reached") != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "a holder that comes in time is asked") {
        const auto known = holders.holders;
        holders.holders.clear();
        holders.start(embedding());
        holders.pass(seconds(20));
        CHECK(holders.sent == 0);
        holders.holders = known;
        holders.pass(seconds(1));
        holders.serve();
        CHECK(holders.done == "");
    }

    TEST_CASE_FIXTURE(Fixture, "a damaged header on the disk is fetched again") {
        holders.start(embedding());
        holders.serve();
        REQUIRE(holders.done == "");
        for (const std::string content : {"", "GGUF", "no header at all"}) {
            CAPTURE(content);
            std::ofstream(holders.folder() / "header", std::ios::trunc) << content;
            holders.start(embedding());
            holders.serve();
            CHECK(holders.done == "");
            CHECK(holders.sent == 2);
            check_embedding();
        }
    }

    TEST_CASE_FIXTURE(Fixture, "part of a header that is longer than the header is thrown away") {
        std::filesystem::create_directories(holders.folder());
        std::ofstream(holders.folder() / "header.part") << std::string(3u << 20, 'x');
        holders.start(embedding());
        holders.serve();
        CHECK(holders.done == "");
        check_embedding();
    }

    TEST_CASE_FIXTURE(Fixture, "a whole header that was not named in time is taken") {
        holders.start(embedding());
        holders.serve();
        REQUIRE(holders.done == "");
        std::filesystem::rename(holders.folder() / "header", holders.folder() / "header.part");
        holders.start(embedding());
        holders.serve();
        CHECK(holders.done == "");
        check_embedding();
    }

    TEST_CASE_FIXTURE(Fixture, "a header that cannot be read ends the fetch, and leaves no trace") {
        holders.start(embedding());
        const auto garbage = [&] {
            while (!holders.done && !holders.requests.empty()) {
                const Asked asked = holders.take();
                PieceReply reply = holders.answer(asked);
                for (std::byte& b : reply.data) b = std::byte{0x5A};
                holders.reply(asked, std::move(reply));
            }
        };
        garbage();
        REQUIRE(holders.done);
        CHECK_FALSE(holders.done->empty());
        holders.start(embedding());
        holders.serve();
        CHECK(holders.done == "");
        check_embedding();
    }

    TEST_CASE_FIXTURE(Fixture, "a full disk is an error, unless there is memory instead") {
        signal(SIGXFSZ, SIG_IGN);
        rlimit before{};
        getrlimit(RLIMIT_FSIZE, &before);
        const rlimit full{(5u << 20) + 12'345, before.rlim_max};
        const auto fetch = [&] {
            REQUIRE(setrlimit(RLIMIT_FSIZE, &full) == 0);
            holders.start(embedding());
            holders.serve();
            setrlimit(RLIMIT_FSIZE, &before);
        };
        fetch();
        REQUIRE(holders.done);
        CHECK(holders.done->find("no room in " + holders.folder().string()) != std::string::npos);
        CHECK(holders.store().trouble()->name == "disk-full");
        holders.memory = 11u << 20;
        fetch();
        CHECK(holders.done == "");
        CHECK(holders.store().trouble()->name == "disk-full");
        check_embedding();
        // When there is room again, it is kept.
        holders.start(embedding());
        holders.serve();
        CHECK(holders.done == "");
        CHECK(holders.sent == 10);
        CHECK_FALSE(holders.store().trouble());
        holders.start(embedding());
        CHECK(holders.sent == 0);
        check_embedding();
    }

    TEST_CASE_FIXTURE(Fixture, "pieces that the disk changed are deleted and fetched again") {
        for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{3'456'789}}) {
            CAPTURE(at);
            holders.start(embedding());
            holders.serve();
            REQUIRE(holders.done == "");
            const auto path = holders.folder() / "token_embd.weight@0-40000@0-64";
            const auto time = std::filesystem::last_write_time(path);
            std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
            file.seekg(static_cast<std::streamoff>(at));
            const char flipped = static_cast<char>(file.get() ^ 0x10);
            file.seekp(static_cast<std::streamoff>(at));
            file.put(flipped);
            file.close();
            std::filesystem::last_write_time(path, time);
            holders.start(embedding());
            holders.serve();
            CHECK(holders.done == "");
            CHECK(holders.sent == 10);
            check_embedding();
        }
    }

    TEST_CASE_FIXTURE(Fixture, "a request that did not leave goes to another holder") {
        holders.start(embedding());
        const Asked unsent = holders.take();
        holders.fetcher().on_unsent(unsent.id);
        CHECK(holders.requests.empty());
        holders.pass(milliseconds(100));
        REQUIRE(holders.requests.size() == 1);
        CHECK(holders.requests.front().holder != unsent.holder);
        holders.serve();
        CHECK(holders.done == "");
    }

    TEST_CASE_FIXTURE(Fixture, "holders that never answer are not waited for without end") {
        holders.start(embedding());
        for (int i = 0; i < 20 && !holders.done; ++i) holders.pass(seconds(11));
        REQUIRE(holders.done);
        CHECK(holders.done->find("do not answer") != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "a plan that refuses the model ends the fetch with its reason") {
        std::optional<std::string> done;
        std::deque<Asked> requests;
        Fetcher::Callbacks callbacks;
        callbacks.send = [&](const mesh::DeviceId& id, const mesh::messages::PlanFrame& frame) {
            requests.push_back({id, frame.id, std::get<PieceRequest>(frame.body)});
            return true;
        };
        callbacks.holders = [&] { return holders.holders; };
        callbacks.wanted = [](const OpenModel&) -> std::vector<model::Piece> {
            throw model::ModelError("does not fit");
        };
        callbacks.progress = [](std::uint64_t, std::uint64_t) {};
        callbacks.done = [&](std::string error) { done = std::move(error); };
        const auto now = Fetcher::Clock::now();
        Fetcher fetcher(std::make_unique<PieceStore>(temporary.folder, holders.hash, 0),
                        holders.hash, holders.file_bytes(), callbacks);
        fetcher.tick(now);
        while (!requests.empty() && !done) {
            const Asked asked = requests.front();
            requests.pop_front();
            fetcher.on_reply(asked.id, asked.holder, holders.answer(asked), now);
        }
        CHECK(done == "does not fit");
        CHECK(fetcher.store().has_header());
    }

    TEST_CASE_FIXTURE(Fixture, "a hostile tensor name ends the fetch and writes nothing") {
        // A holder's header may name any tensor.
        auto header = holders.source().header_bytes();
        std::string bytes(reinterpret_cast<const char*>(header.data()), header.size());
        const std::string name = "token_embd.weight";
        const std::string evil = "../../../evil.wgt";
        REQUIRE(name.size() == evil.size());
        bytes.replace(bytes.rfind("rope_freqs.weight"), evil.size(), evil);
        holders.start(embedding());
        while (!holders.done && !holders.requests.empty()) {
            const Asked asked = holders.take();
            PieceReply reply = holders.answer(asked);
            if (asked.request.tensor.empty()) {
                for (std::size_t i = 0; i < reply.data.size(); ++i) {
                    reply.data[i] = static_cast<std::byte>(bytes[asked.request.offset + i]);
                }
            }
            holders.reply(asked, std::move(reply));
        }
        // The description lacks what it needs, or the piece's name is refused.
        holders.start(std::vector<model::Piece>{{evil, 0, 1, 0, 8}});
        CHECK_FALSE(std::filesystem::exists(temporary.folder.parent_path() / "evil.wgt"));
    }
}

TEST_SUITE("answering piece requests") {
    TEST_CASE_FIXTURE(Fixture, "requests that make no sense get an error, never a crash") {
        const auto& source = holders.source();
        const auto answer = [&](PieceRequest request) {
            return answer_piece_request(request, source, source.header_bytes());
        };
        PieceRequest good;
        good.tensor = "token_embd.weight";
        good.row_end = 2;
        good.col_end = 64;
        good.bytes = 512;
        CHECK(answer(good).error.empty());
        CHECK(answer(good).data.size() == 512);
        CHECK(answer(good).total == 512);

        std::vector<PieceRequest> bad(9, good);
        bad[0].tensor = "no.such";
        bad[1].row_end = 40'001;
        bad[2].row_begin = 2;
        bad[3].col_end = 65;
        bad[4].offset = 1;
        bad[5].offset = ~0ULL;
        bad[6].bytes = mesh::messages::kMaxPieceBytes + 1;
        bad[7].row_begin = ~0ULL;
        bad[8].row_end = ~0ULL;
        for (std::size_t i = 0; i < bad.size(); ++i) {
            CAPTURE(i);
            CHECK_FALSE(answer(bad[i]).error.empty());
            CHECK(answer(bad[i]).data.empty());
        }

        PieceRequest header;
        header.offset = ~0ULL;
        header.bytes = 10;
        CHECK(answer(header).data.empty());
        CHECK(answer(header).total == source.header_bytes().size());
        header.offset = source.header_bytes().size() - 4;
        CHECK(answer(header).data.size() == 4);
    }
}

}  // namespace fetcher_test
