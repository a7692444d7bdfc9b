#include "daemon/jinja/date.hpp"

#include <cstdio>

#include "daemon/jinja/error.hpp"

namespace shoal::jinja {
namespace {

constexpr std::string_view kDays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                      "Thursday", "Friday", "Saturday"};
constexpr std::string_view kMonths[] = {"January",   "February", "March",    "April",
                                        "May",       "June",     "July",     "August",
                                        "September", "October",  "November", "December"};
constexpr std::size_t kShortName = 3;

std::string_view day(const std::tm& time) {
    return kDays[static_cast<unsigned>(time.tm_wday) % 7];
}
std::string_view month(const std::tm& time) {
    return kMonths[static_cast<unsigned>(time.tm_mon) % 12];
}

/// A number with zeros or blanks before it; `flag` is what stands behind "%", or 0.
std::string number(int value, int width, char flag, char filling = '0') {
    if (flag == '-') width = 1;
    if (flag == '_') filling = ' ';
    if (flag == '0') filling = '0';
    char out[24];
    std::snprintf(out, sizeof out, filling == '0' ? "%0*d" : "%*d", width, value);
    return out;
}

int hour_of_twelve(const std::tm& time) {
    return time.tm_hour % 12 == 0 ? 12 : time.tm_hour % 12;
}

/// Weeks of the year that began by now, when they begin on `first` (0 is Sunday).
int week(const std::tm& time, int first) {
    return (time.tm_yday + 7 - (time.tm_wday - first + 7) % 7) / 7;
}

std::string converted(char conversion, char flag, const std::tm& t) {
    switch (conversion) {
        case '%':
            return "%";
        case 'n':
            return "\n";
        case 't':
            return "\t";
        case 'A':
            return std::string(day(t));
        case 'a':
            return std::string(day(t).substr(0, kShortName));
        case 'B':
            return std::string(month(t));
        case 'b':
        case 'h':
            return std::string(month(t).substr(0, kShortName));
        case 'C':
            return number((t.tm_year + 1900) / 100, 2, flag);
        case 'c':
            return date_text("%a %b %e %H:%M:%S %Y", t);
        case 'D':
        case 'x':
            return date_text("%m/%d/%y", t);
        case 'd':
            return number(t.tm_mday, 2, flag);
        case 'e':
            return number(t.tm_mday, 2, flag, ' ');
        case 'F':
            return date_text("%Y-%m-%d", t);
        case 'f':
            return "000000";
        case 'H':
            return number(t.tm_hour, 2, flag);
        case 'I':
            return number(hour_of_twelve(t), 2, flag);
        case 'j':
            return number(t.tm_yday + 1, 3, flag);
        case 'k':
            return number(t.tm_hour, 2, flag, ' ');
        case 'l':
            return number(hour_of_twelve(t), 2, flag, ' ');
        case 'M':
            return number(t.tm_min, 2, flag);
        case 'm':
            return number(t.tm_mon + 1, 2, flag);
        case 'P':
            return t.tm_hour < 12 ? "am" : "pm";
        case 'p':
            return t.tm_hour < 12 ? "AM" : "PM";
        case 'R':
            return date_text("%H:%M", t);
        case 'r':
            return date_text("%I:%M:%S %p", t);
        case 'S':
            return number(t.tm_sec, 2, flag);
        case 'T':
        case 'X':
            return date_text("%H:%M:%S", t);
        case 'U':
            return number(week(t, 0), 2, flag);
        case 'u':
            return number(t.tm_wday == 0 ? 7 : t.tm_wday, 1, flag);
        case 'W':
            return number(week(t, 1), 2, flag);
        case 'w':
            return number(t.tm_wday, 1, flag);
        case 'Y':
            return number(t.tm_year + 1900, 1, flag);
        case 'y':
            return number(t.tm_year % 100, 2, flag);
        case 'Z':
        case 'z':
            return "";
        default:
            fail(std::string("strftime_now() does not know '%") + conversion + "'");
    }
}

}  // namespace

std::string date_text(std::string_view format, const std::tm& time) {
    std::string out;
    for (std::size_t i = 0; i < format.size(); ++i) {
        if (format[i] != '%') {
            out.push_back(format[i]);
            continue;
        }
        char flag = '\0';
        const auto at = [&](std::size_t position) {
            return position < format.size() ? format[position] : '\0';
        };
        if (at(i + 1) == '-' || at(i + 1) == '_' || at(i + 1) == '0') flag = format[++i];
        if (i + 1 == format.size()) fail("strftime_now()'s format ends with '%'");
        out += converted(format[++i], flag, time);
    }
    return out;
}

}  // namespace shoal::jinja
