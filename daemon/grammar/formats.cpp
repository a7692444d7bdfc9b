#include "daemon/grammar/formats.hpp"

namespace shoal::grammar {
namespace {

using namespace std::string_literals;

// RFC 3339, with the days that each month has and leap years as the Gregorian calendar counts them.
const std::string kLeapYear =
    R"((?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00))";
const std::string kDate =
    R"((?:(?:\d\d\d[1-9]|\d\d[1-9]0|\d[1-9]00|[1-9]000)-)"
    R"((?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30))"
    R"(|02-(?:0[1-9]|1\d|2[0-8]))|)" +
    kLeapYear + "-02-29)";
const std::string kTime =
    R"((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?(?:Z|[+\-](?:[01]\d|2[0-3]):[0-5]\d))";

const std::string kLabel = R"([A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?)";
const std::string kHost = kLabel + "(?:\\." + kLabel + "){0,3}";
const std::string kAtom = R"([A-Za-z0-9_+\-]{1,20})";
const std::string kEmail =
    kAtom + "(?:\\." + kAtom + "){0,2}@" + kLabel + "(?:\\." + kLabel + "){1,3}";

const std::string kByte = R"((?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d))";
const std::string kIpv4 = "(?:" + kByte + "\\.){3}" + kByte;

const std::string kHex4 = "[0-9A-Fa-f]{1,4}";

/// RFC 4291 without the form that ends in an IPv4 address: eight groups, or fewer around one "::".
std::string ipv6() {
    std::string pattern = "(?:" + kHex4 + ":){7}" + kHex4;
    for (int before = 0; before <= 7; ++before) {
        pattern += "|";
        if (before > 0) pattern += "(?:" + kHex4 + ":){" + std::to_string(before - 1) + "}" + kHex4;
        pattern += "::";
        const int after = 7 - before;
        if (after > 0) {
            pattern += "(?:" + kHex4 + "(?::" + kHex4 + "){0," + std::to_string(after - 1) + "})?";
        }
    }
    return "(?:" + pattern + ")";
}

const std::string kPathCharacter = R"((?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2}))";
// RFC 3986, those with a host.
const std::string kUri = "[A-Za-z][A-Za-z0-9+.\\-]{0,15}://" + kHost + "(?::\\d{1,4})?(?:/" +
                         kPathCharacter + "*)*(?:\\?(?:" + kPathCharacter +
                         "|[/?])*)?(?:#(?:" + kPathCharacter + "|[/?])*)?";

const std::string kUuid = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}";

// RFC 3339, appendix A.
const std::string kDurationTime =
    R"(T(?:\d{1,6}H(?:\d{1,6}M(?:\d{1,6}S)?)?|\d{1,6}M(?:\d{1,6}S)?|\d{1,6}S))";
const std::string kDurationDate =
    R"((?:\d{1,6}D|\d{1,6}M(?:\d{1,6}D)?|\d{1,6}Y(?:\d{1,6}M(?:\d{1,6}D)?)?))";
const std::string kDuration =
    "P(?:\\d{1,6}W|" + kDurationDate + "(?:" + kDurationTime + ")?|" + kDurationTime + ")";

}  // namespace

std::optional<std::string> format_pattern(std::string_view format) {
    const auto whole = [](const std::string& pattern) { return "^" + pattern + "$"; };
    if (format == "date") return whole(kDate);
    if (format == "time") return whole(kTime);
    if (format == "date-time") return whole(kDate + "T" + kTime);
    if (format == "duration") return whole(kDuration);
    if (format == "uuid") return whole(kUuid);
    if (format == "email") return whole(kEmail);
    if (format == "hostname") return whole(kHost);
    if (format == "ipv4") return whole(kIpv4);
    if (format == "ipv6") return whole(ipv6());
    if (format == "uri") return whole(kUri);
    return std::nullopt;
}

}  // namespace shoal::grammar
