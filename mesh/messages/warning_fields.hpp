// The fields of a warning on the wire, in announcements and in status. Private to the codecs.
#pragma once

#include "mesh/messages/record.hpp"
#include "mesh/messages/warning.hpp"

namespace shoal::mesh::messages {

template <>
struct EnumRange<Severity> {
    static constexpr Severity first = Severity::notice, last = Severity::error;
};

template <typename F, Of<Warning> S>
void fields(F&& f, S& s) {
    f(0, "name", s.name, kMaxWarningText);
    f(1, "severity", s.severity);
    f(2, "device", s.device, kMaxWarningText);
    f(3, "text", s.text, kMaxWarningText);
    f(4, "remedy", s.remedy, kMaxWarningText);
}

}  // namespace shoal::mesh::messages
