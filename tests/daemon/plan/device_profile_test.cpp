#include "daemon/plan/device_profile.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <vector>

#include "mesh/messages/plan.hpp"

namespace device_profile_test {

using namespace shoal;
using mesh::messages::Announcement;
using mesh::messages::PlanFrame;
using Message = mesh::messages::DeviceProfile;

namespace {

planner::DeviceProfile uneven() {
    planner::DeviceProfile p = planner::DeviceProfile::guess(5e9);
    double factor = 1;
    for (planner::Rates& r : p.rates) {
        r = {r.one_row * (factor += 0.1), r.many_rows * (factor += 0.1),
             r.in_file * (factor += 0.1)};
    }
    return p;
}

mesh::DeviceDescription announcing(const Message& profile, double speed = 4e9) {
    mesh::DeviceDescription d;
    d.speed = speed;
    Announcement announcement;
    announcement.profile = profile;
    d.models = encode(PlanFrame{0, announcement});
    return d;
}

}  // namespace

TEST_SUITE("profiles of devices") {
    TEST_CASE("a profile is what it was after a message") {
        CHECK(profile_of(message_of(uneven())) == uneven());
        CHECK(profile_of(announcing(message_of(uneven()))) == uneven());
    }

    TEST_CASE("a device of an older version is what its speed lets guess") {
        CHECK(profile_of(announcing({})) == planner::DeviceProfile::guess(4e9));
        mesh::DeviceDescription d;
        d.speed = 2e9;
        CHECK(profile_of(d) == planner::DeviceProfile::guess(2e9));
    }

    TEST_CASE("numbers that no device has are no profile, whichever it is") {
        const auto numbers = [](Message& m) {
            std::vector<double*> all{&m.attend_one, &m.attend_many, &m.elements, &m.layer_seconds};
            for (auto* r : {&m.f32, &m.f16, &m.q8, &m.q4, &m.k}) {
                all.insert(all.end(), {&r->one_row, &r->many_rows, &r->in_file});
            }
            return all;
        };
        constexpr double kInf = std::numeric_limits<double>::infinity();
        Message message = message_of(uneven());
        for (double* number : numbers(message)) {
            const double fine = *number;
            for (const double bad : {0.0, -1.0, 1e-320, 1e30, 1e308, kInf, -kInf,
                                     std::numeric_limits<double>::quiet_NaN()}) {
                *number = bad;
                CHECK_FALSE(profile_of(message));
                // What is not finite makes the whole announcement malformed.
                CHECK(profile_of(announcing(message)) == planner::DeviceProfile::guess(4e9));
            }
            *number = fine;
        }
        CHECK(profile_of(message));
    }

    TEST_CASE("a device that tells nothing usable has no profile") {
        CHECK_FALSE(profile_of(mesh::DeviceDescription{}));
        for (const double speed : {0.0, -1.0, 1e-300, 1e300}) {
            CHECK_FALSE(profile_of(announcing({}, speed)));
        }
        mesh::DeviceDescription garbage;
        garbage.models.assign(100, std::byte{0xC1});
        CHECK_FALSE(profile_of(garbage));
    }
}

}  // namespace device_profile_test
