// The fields of a profile on the wire, in announcements and in the answer to `shoal bench`. Private
// to the codecs.
#pragma once

#include "mesh/messages/device_profile.hpp"
#include "mesh/messages/record.hpp"

namespace shoal::mesh::messages {

template <typename F, Of<ProductRates> S>
void fields(F&& f, S& s) {
    f(0, "one_row", s.one_row);
    f(1, "many_rows", s.many_rows);
    f(2, "in_file", s.in_file);
}

template <typename F, Of<DeviceProfile> S>
void fields(F&& f, S& s) {
    f(0, "f32", s.f32);
    f(1, "f16", s.f16);
    f(2, "q8", s.q8);
    f(3, "q4", s.q4);
    f(4, "k", s.k);
    f(5, "attend_one", s.attend_one);
    f(6, "attend_many", s.attend_many);
    f(7, "elements", s.elements);
    f(8, "layer_seconds", s.layer_seconds);
}

}  // namespace shoal::mesh::messages
