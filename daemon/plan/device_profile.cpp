#include "daemon/plan/device_profile.hpp"

#include <iterator>
#include <variant>

#include "mesh/messages/plan.hpp"

namespace shoal {
namespace {

using planner::DeviceProfile;
using planner::Family;
using Message = mesh::messages::DeviceProfile;

// Each family with its member in messages.
struct Pairing {
    Family family;
    mesh::messages::ProductRates Message::*rates;
};
constexpr Pairing kPairings[] = {{Family::f32, &Message::f32},
                                 {Family::f16, &Message::f16},
                                 {Family::q8, &Message::q8},
                                 {Family::q4, &Message::q4},
                                 {Family::k, &Message::k}};
static_assert(std::size(kPairings) == planner::kFamilyCount);

}  // namespace

Message message_of(const DeviceProfile& profile) noexcept {
    Message message;
    for (const Pairing& p : kPairings) {
        const planner::Rates& r = profile.of(p.family);
        message.*p.rates = {r.one_row, r.many_rows, r.in_file};
    }
    message.attend_one = profile.attend_one;
    message.attend_many = profile.attend_many;
    message.elements = profile.elements;
    message.layer_seconds = profile.layer_seconds;
    return message;
}

std::optional<DeviceProfile> profile_of(const Message& message) noexcept {
    DeviceProfile profile;
    for (const Pairing& p : kPairings) {
        const mesh::messages::ProductRates& r = message.*p.rates;
        profile.rates[static_cast<std::size_t>(p.family)] = {r.one_row, r.many_rows, r.in_file};
    }
    profile.attend_one = message.attend_one;
    profile.attend_many = message.attend_many;
    profile.elements = message.elements;
    profile.layer_seconds = message.layer_seconds;
    if (!planner::plausible(profile)) return std::nullopt;
    return profile;
}

std::optional<DeviceProfile> profile_of(const mesh::DeviceDescription& description) {
    const auto frame = mesh::messages::decode_plan(description.models);
    const auto* said = frame ? std::get_if<mesh::messages::Announcement>(&frame->body) : nullptr;
    if (said != nullptr) {
        if (auto profile = profile_of(said->profile)) return profile;
    }
    const DeviceProfile guess = DeviceProfile::guess(description.speed);
    if (!planner::plausible(guess)) return std::nullopt;
    return guess;
}

}  // namespace shoal
