#include "daemon/http/clients.hpp"

#include <doctest/doctest.h>
#include <sodium.h>

#include <chrono>
#include <set>

namespace shoal::http::clients_test {

using namespace std::chrono_literals;

TEST_SUITE("clients") {
    TEST_CASE("an address and a key are a client, on loopback of one device alone") {
        REQUIRE(sodium_init() >= 0);
        const Clients here(0), there(0);
        CHECK(here.id_of("10.0.0.7", "") == there.id_of("10.0.0.7", ""));
        CHECK(here.id_of("10.0.0.7", "key") == there.id_of("10.0.0.7", "key"));
        CHECK(here.id_of("fd00::7", "key") == there.id_of("fd00::7", "key"));
        for (const char* address : {"127.0.0.1", "127.0.0.2", "::1", ""}) {
            CHECK(here.id_of(address, "key") == here.id_of(address, "key"));
            CHECK(here.id_of(address, "key") != there.id_of(address, "key"));
        }
        std::set<Clients::Id> all;
        for (const char* address : {"10.0.0.7", "10.0.0.8", "fd00::7", "127.0.0.1"}) {
            for (const char* key : {"", "one", "two"}) all.insert(here.id_of(address, key));
        }
        CHECK(all.size() == 12);
        CHECK(all.count(0) == 0);
    }

    TEST_CASE("each client has as many as it may") {
        Clients clients(2);
        const auto enters = [&](Clients::Id client) { return !clients.enter(client); };
        // When to come again, of one that has as many as it may.
        const auto retry = [&](Clients::Id client) {
            const auto error = clients.enter(client);
            REQUIRE(error.has_value());
            CHECK(error->status == 429);
            return error->retry_seconds;
        };
        CHECK(enters(1));
        CHECK(enters(1));
        CHECK(retry(1) == 0);
        CHECK(enters(2));
        clients.leave(1, 20s);
        CHECK(enters(1));
        CHECK(retry(1) == 10);
        clients.leave(1, 60s);
        CHECK(enters(1));
        CHECK(retry(1) == 15);
        clients.leave(1, 0s);
        clients.leave(1, 0s);
        clients.leave(2, 0s);
        for (const Clients::Id client : {1U, 2U}) {
            CHECK(enters(client));
            CHECK(enters(client));
            CHECK_FALSE(enters(client));
        }
        Clients free(0);
        for (int i = 0; i < 1000; ++i) CHECK_FALSE(free.enter(1));
        free.leave(1, 1s);
    }

    TEST_CASE("another limit counts those that run already") {
        Clients clients(0);
        for (int i = 0; i < 3; ++i) CHECK_FALSE(clients.enter(1));
        clients.set_limit(2);
        CHECK(clients.enter(1));
        clients.leave(1, 1s);
        CHECK(clients.enter(1));
        clients.leave(1, 1s);
        CHECK_FALSE(clients.enter(1));
        clients.set_limit(3);
        CHECK_FALSE(clients.enter(1));
        CHECK(clients.enter(1));
        clients.set_limit(0);
        CHECK_FALSE(clients.enter(1));
    }
}

}  // namespace shoal::http::clients_test
