// Which tensor gets which type.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "daemon/model/hparams.hpp"
#include "tests/model/model_maker.hpp"

namespace shoal::tests {
namespace {

using kernels::DType;

struct Recipe {
    std::string_view name;
    DType main;
    DType better;             ///< for the tensors whose precision matters most
    std::uint32_t file_type;  ///< general.file_type
};

constexpr std::array kRecipes = {
    Recipe{"f32", DType::f32, DType::f32, 0},       Recipe{"f16", DType::f16, DType::f16, 1},
    Recipe{"bf16", DType::bf16, DType::bf16, 32},   Recipe{"q4_0", DType::q4_0, DType::q4_0, 2},
    Recipe{"q4_1", DType::q4_1, DType::q4_1, 3},    Recipe{"q5_0", DType::q5_0, DType::q5_0, 8},
    Recipe{"q5_1", DType::q5_1, DType::q5_1, 9},    Recipe{"q8_0", DType::q8_0, DType::q8_0, 7},
    Recipe{"q4_k", DType::q4_k, DType::q4_k, 14},   Recipe{"q5_k", DType::q5_k, DType::q5_k, 16},
    Recipe{"q6_k", DType::q6_k, DType::q6_k, 18},   Recipe{"q4_k_m", DType::q4_k, DType::q6_k, 15},
    Recipe{"q5_k_m", DType::q5_k, DType::q6_k, 17},
};

const Recipe* find_recipe(std::string_view name) noexcept {
    const auto found = std::find_if(kRecipes.begin(), kRecipes.end(),
                                    [name](const Recipe& recipe) { return recipe.name == name; });
    return found == kRecipes.end() ? nullptr : &*found;
}

/// The number in "blk.<number>.", -1 for other names.
int layer_of(std::string_view tensor) noexcept {
    int layer = -1;
    if (tensor.starts_with("blk.")) {
        std::from_chars(tensor.data() + 4, tensor.data() + tensor.size(), layer);
    }
    return layer;
}

/// The usual mixtures give the LM head the better type, and v and w_down on the first and last
/// eighth of the layers and on every third between.
bool wants_better(std::string_view tensor, std::uint32_t n_layers, bool tied) noexcept {
    if (tensor == model::tensor_name::kOutput) return true;
    if (tensor == model::tensor_name::kEmbedding) return tied;
    if (!tensor.ends_with(".attn_v.weight") && !tensor.ends_with(".ffn_down.weight")) return false;
    const int layers = static_cast<int>(n_layers);
    const int layer = layer_of(tensor);
    return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

/// A type whose blocks fit rows of `cols` elements, as near to the wanted one as possible.
DType fitting(DType type, std::uint64_t cols) noexcept {
    if (cols % kernels::block_shape(type).elements == 0) return type;
    if (cols % 32 != 0) return DType::f16;
    switch (type) {
        case DType::q4_k:
            return DType::q5_0;
        case DType::q5_k:
            return DType::q5_1;
        default:
            return DType::q8_0;
    }
}

}  // namespace

void check_weight_type(std::string_view type) {
    if (find_recipe(type) != nullptr) return;
    throw model::ModelError(
        fmt::format("unknown weight type '{}'; there are {}", type, weight_type_names()));
}

kernels::DType weight_type(std::string_view type, std::string_view tensor, std::uint64_t cols,
                           std::uint32_t n_layers, bool tied) {
    const Recipe& recipe = *find_recipe(type);
    const bool better = recipe.main != recipe.better && wants_better(tensor, n_layers, tied);
    return fitting(better ? recipe.better : recipe.main, cols);
}

std::uint32_t file_type(std::string_view type) {
    return find_recipe(type)->file_type;
}

std::string weight_type_names() {
    std::string names;
    for (const Recipe& recipe : kRecipes) {
        if (!names.empty()) names += ", ";
        names += recipe.name;
    }
    return names;
}

}  // namespace shoal::tests
