#include "mesh/joining/invitation.hpp"

#include <doctest/doctest.h>
#include <sodium.h>

#include <algorithm>
#include <cctype>
#include <string>

namespace invitation_test {

using namespace shoal::mesh;
using namespace shoal::mesh::joining;

namespace {

Invitation some() {
    Invitation invitation;
    invitation.addresses = {"192.168.1.20", "10.0.0.7", "2001:db8::7"};
    invitation.port = 40123;
    for (std::size_t i = 0; i < invitation.inviter.size(); ++i) {
        invitation.inviter[i] = static_cast<std::uint8_t>(i * 7 + 1);
    }
    for (std::size_t i = 0; i < invitation.secret.size(); ++i) {
        invitation.secret[i] = static_cast<std::uint8_t>(i * 13 + 5);
    }
    return invitation;
}

std::string upper(std::string text) {
    std::ranges::transform(text, text.begin(),
                           [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return text;
}

}  // namespace

TEST_SUITE("invitation") {
    TEST_CASE("a line says what it was made of, also in capitals and with what copying adds") {
        std::string why;
        const std::string line = text_of(some());
        CHECK(parse_invitation(line, why) == some());
        CHECK(parse_invitation(upper(line), why) == some());
        CHECK(parse_invitation("  " + line.substr(0, 50) + " \n" + line.substr(50) + "\r\n", why) ==
              some());
        Invitation one = some();
        one.addresses = {"192.168.1.20"};
        // Short enough to be typed if need be, and for a small QR code.
        CHECK(text_of(one).size() == 105);
        CHECK(parse_invitation(text_of(one), why) == one);
        Invitation four = some();
        four.addresses = {"::1", "2001:db8::1", "2001:db8::2", "2001:db8::3"};
        CHECK(parse_invitation(text_of(four), why) == four);
        // What would mean another device elsewhere, or nothing, is not in it.
        Invitation scoped = some();
        scoped.addresses = {"fe80::1%eth0", "[2001:db8::1]", "desk", "2001:db8::2"};
        const auto read = parse_invitation(text_of(scoped), why);
        REQUIRE(read);
        CHECK(read->addresses == std::vector<std::string>{"2001:db8::2"});
    }

    TEST_CASE("every wrong character is noticed") {
        const std::string line = text_of(some());
        std::string why;
        for (std::size_t i = 0; i < line.size(); ++i) {
            std::string typo = line;
            typo[i] = line[i] == '7' ? '8' : '7';
            if (typo[i] == line[i]) continue;
            CAPTURE(i);
            why.clear();
            CHECK_FALSE(parse_invitation(typo, why));
            CHECK_FALSE(why.empty());
        }
    }

    TEST_CASE("what is no invitation is refused with a reason") {
        const std::string line = text_of(some());
        std::string why;
        CHECK_FALSE(parse_invitation("", why));
        CHECK(why.find("shoal invite") != std::string::npos);
        CHECK_FALSE(parse_invitation("shoal1-abc", why));
        CHECK(why.find("shoal-join1-") != std::string::npos);
        CHECK_FALSE(parse_invitation("shoal-join1-", why));
        CHECK(why.find("whole line") != std::string::npos);
        CHECK_FALSE(parse_invitation(line.substr(0, line.size() - 1), why));
        CHECK(why.find("whole line") != std::string::npos);
        CHECK_FALSE(parse_invitation(line + "0", why));
        CHECK(why.find("whole line") != std::string::npos);
        CHECK_FALSE(parse_invitation(line + std::string(100'000, '0'), why));
        CHECK_FALSE(parse_invitation(line + "!", why));
        CHECK(why.find("letters and digits") != std::string::npos);
        Invitation nowhere = some();
        nowhere.port = 0;
        CHECK_FALSE(parse_invitation(text_of(nowhere), why));
        CHECK(why.find("port") != std::string::npos);
        Invitation lost = some();
        lost.addresses.clear();
        CHECK_FALSE(parse_invitation(text_of(lost), why));
        Invitation wide = some();
        wide.addresses.assign(5, "10.0.0.1");
        CHECK_FALSE(parse_invitation(text_of(wide), why));
    }
}

}  // namespace invitation_test
