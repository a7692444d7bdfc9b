// All-to-all: each receiver gets its own part. What it shares with the other collectives is tested
// with them, and on networks of every kind by the simulation.
#include <doctest/doctest.h>

#include "tests/exchange/duo.hpp"
#include "tests/exchange/fixtures.hpp"

namespace shoal::mesh::testing::all_to_all_test {

using exchange::FrameKind;

TEST_SUITE_BEGIN("all_to_all");

TEST_CASE_TEMPLATE("an all-to-all sends each receiver its own part, also when it is asked again",
                   Transport, Libzmq, Zmtp) {
    Duo duo(Transport::value);
    const auto exchange_parts = [](Exchange& exchange, std::uint64_t op) {
        const Parts mine(0, 2, op, [](std::uint32_t r) { return 100 + r; });
        Views theirs;
        expect_ok(exchange.all_to_all(mine.views, theirs), op);
        expect_pattern(theirs[0], way(0, 0), op, 100);
        expect_pattern(theirs[1], 1, op, 64);
    };
    duo.run(
        [&](Exchange& exchange) {
            for (std::uint64_t op = 2; op <= 4; ++op) exchange_parts(exchange, op);
        },
        [&] {
            const auto expect_part = [&](std::uint64_t op) {
                const auto got = duo.raw.receive(FrameKind::data);
                expect(got.op == op && got.to == 1, "to us alone");
                expect_pattern(duo.raw.payload, way(0, 1), op, 101);
            };
            expect_part(2);
            auto nack = duo.raw.header(FrameKind::nack, 2);
            nack.to = 0;
            nack.flags = exchange::kFlagCertain;
            duo.raw.send(nack);
            expect_part(2);
            // What is no frame of this rank for this collective ends nothing.
            auto forged = duo.raw.header(FrameKind::data, 2);
            forged.to = 0;
            forged.from = 0;
            duo.raw.send(forged, pattern(9, 9, 64));
            auto bytes = RawPeer::frame(duo.raw.header(FrameKind::data, 2), pattern(9, 9, 64));
            duo.raw.send(bytes);  // the length field says 0
            bytes.resize(exchange::kTopicBytes);
            duo.raw.send(bytes);
            duo.raw.send_data(2, 64);
            duo.raw.send_data(2, 64);  // once more
            expect_part(3);
            duo.raw.send_data(4, 64);  // 3 was lost
            expect(duo.raw.receive(FrameKind::nack).op == 3, "3 is asked for");
            duo.raw.send_data(3, 64);
            expect_part(4);
        });
    CHECK(duo.plane.stats().malformed == 3);
    CHECK(duo.plane.stats().duplicates >= 1);
    CHECK(duo.plane.stats().resent >= 1);
}

TEST_SUITE_END();

}  // namespace shoal::mesh::testing::all_to_all_test
