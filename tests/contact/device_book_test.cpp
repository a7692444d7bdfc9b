#include "daemon/contact/device_book.hpp"

#include <doctest/doctest.h>

#include <string>

namespace device_book_test {

using namespace shoal;

namespace {

mesh::Member member(std::uint32_t number, const std::string& name) {
    mesh::Member made;
    for (std::size_t i = 0; i < 4; ++i) {
        made.public_key[i] = static_cast<std::uint8_t>(number >> (8 * i));
    }
    made.id = mesh::device_id_of(made.public_key);
    made.description.name = name;
    made.description.version = "0.1.0";
    made.address = "10.0.0." + std::to_string(number % 250);
    return made;
}

}  // namespace

TEST_SUITE("device book") {
    TEST_CASE("what it remembers comes back from its text") {
        DeviceBook book;
        book.since = 5;
        book.rotation = 3;
        book.cluster = "3f2a-91c0-77de";
        book.marks = {{{1, 2}, 4, true}, {{3}, 1, false}};
        CHECK(book.see(member(1, "kitchen board"), 100));
        CHECK(book.see(member(2, ""), 200));
        CHECK(DeviceBook::parse(book.text()) == book);
        CHECK(DeviceBook::parse("") == DeviceBook());
        CHECK(DeviceBook::parse("something else\n" + book.text()) == DeviceBook());
    }

    TEST_CASE("a device is new once, and what changes of it is worth storing") {
        DeviceBook book;
        CHECK(book.see(member(1, "a"), 100));
        CHECK_FALSE(book.see(member(1, "a"), 200));
        const auto& known = book.devices().begin()->second;
        CHECK(known.since == 100);
        CHECK(known.seen == 200);
        CHECK(book.see(member(1, "b"), 300));
        CHECK(known.since == 100);
        book.seen(member(1, "").id, 400);
        CHECK(known.seen == 400);
        CHECK(book.knows(member(1, "").public_key));
        CHECK_FALSE(book.knows(member(2, "").public_key));
        book.forget(member(1, "").id);
        CHECK_FALSE(book.knows(member(1, "").public_key));
    }

    TEST_CASE("names from elsewhere cannot add lines") {
        DeviceBook book;
        mesh::Member sly = member(1, "x\nmark 00112233445566778899aabbccddeeff 9 1");
        sly.address = "a b\nrotation 9";
        book.see(sly, 1);
        const DeviceBook back = DeviceBook::parse(book.text());
        CHECK(back == book);
        CHECK(back.marks.empty());
        CHECK(back.rotation == 0);
    }

    TEST_CASE("a line that is damaged is left out, and the others count") {
        DeviceBook book;
        book.see(member(1, "a"), 1);
        const std::string text = book.text();
        const DeviceBook back =
            DeviceBook::parse(text + "device nonsense 1 2 3 4 5\nmark zz 1 1\nwhatever\ndevice\n");
        CHECK(back == book);
    }

    TEST_CASE("a full book lets go of whom it saw least lately") {
        DeviceBook book;
        for (std::uint32_t i = 0; i < DeviceBook::kMaxDevices; ++i) {
            book.see(member(i, "d" + std::to_string(i)), 1000 + i);
        }
        book.seen(member(0, "").id, 5000);
        book.see(member(9999, "new"), 5001);
        CHECK(book.devices().size() == DeviceBook::kMaxDevices);
        CHECK(book.knows(member(0, "").public_key));
        CHECK_FALSE(book.knows(member(1, "").public_key));
        CHECK(book.knows(member(9999, "").public_key));
        CHECK(DeviceBook::parse(book.text()) == book);
        CHECK(book.text().size() < DeviceBook::kMaxTextBytes);
    }

    TEST_CASE("people name a device by its name or the beginning of its id") {
        DeviceBook book;
        book.see(member(1, "desk"), 1);
        book.see(member(2, "twin"), 1);
        book.see(member(3, "twin"), 1);
        std::string why;
        CHECK(book.find("desk", why) == member(1, "").id);
        CHECK(book.find(member(2, "").id.hex(), why) == member(2, "").id);
        CHECK(book.find(member(3, "").id.hex().substr(0, 8), why) == member(3, "").id);
        CHECK_FALSE(book.find("twin", why));
        CHECK(why.find("several") != std::string::npos);
        CHECK_FALSE(book.find("nobody", why));
        CHECK(why.find("shoal devices") != std::string::npos);
        // Too short to be meant.
        CHECK_FALSE(book.find(member(1, "").id.hex().substr(0, 3), why));
        CHECK_FALSE(book.find("", why));
    }
}

}  // namespace device_book_test
