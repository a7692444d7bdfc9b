// Sets a table's entries for packed weights.
#pragma once

#include "kernels/vector/pack.hpp"
#include "kernels/vector/panel_matmul.hpp"

namespace shoal::kernels::vector {
namespace {

template <class V, template <class> class Format, template <class> class Packer>
constexpr void set_format(Table& table) noexcept {
    static_assert(Format<V>::kType == Packer<V>::kType);
    constexpr std::size_t i = type_index(Packer<V>::kType);
    table.matmul[i] = file_matmul<V, Format<V>, pack<V, Packer<V>>>;
    table.pack[i] = pack<V, Packer<V>>;
    table.panel_matmul[i] = panel_matmul<V, Format<V>>;
}

/// Every quantised type over the vectors of V.
template <class V>
constexpr void set_formats(Table& table) noexcept {
    set_format<V, Q4_0, PackQ4_0>(table);
    set_format<V, Q4_1, PackQ4_1>(table);
    set_format<V, Q5_0, PackQ5_0>(table);
    set_format<V, Q5_1, PackQ5_1>(table);
    set_format<V, Q8_0, PackQ8_0>(table);
    set_format<V, Q2_K, PackQ2_K>(table);
    set_format<V, Q3_K, PackQ3_K>(table);
    set_format<V, Q4_K, PackQ4_K>(table);
    set_format<V, Q5_K, PackQ5_K>(table);
    set_format<V, Q6_K, PackQ6_K>(table);
    set_format<V, IQ4_NL, PackIQ4_NL>(table);
    set_format<V, IQ4_XS, PackIQ4_XS>(table);
}

}  // namespace
}  // namespace shoal::kernels::vector
