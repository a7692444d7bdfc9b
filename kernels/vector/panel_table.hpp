// Sets a table's entries for packed weights.
#pragma once

#include "kernels/vector/panel_matmul.hpp"

namespace shoal::kernels::vector {
namespace {

/// Format<V> with kPack as what packs it.
template <class V, template <class> class Format, Table::PackFn kPack>
constexpr void set_format(Table& table) noexcept {
    constexpr std::size_t i = type_index(Format<V>::kType);
    table.matmul[i] = file_matmul<V, Format<V>, kPack>;
    table.pack[i] = kPack;
    table.panel_matmul[i] = panel_matmul<V, Format<V>>;
}

}  // namespace
}  // namespace shoal::kernels::vector
