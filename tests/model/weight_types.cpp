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

/// The tensors that mixtures treat apart.
enum class Part { other, head, attn_v, attn_output, ffn_down };

struct Place {
    Part part;
    int layer;
    int layers;
    std::uint32_t group;  ///< query heads of a KV head

    bool first(int fraction) const noexcept { return layer < layers / fraction; }
    /// The first and last eighth of the layers and every third between.
    bool spread() const noexcept {
        return first(8) || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
    }
};

/// The type of a tensor in a mixture: as llama.cpp's quantiser makes it without an importance
/// matrix, so that files resemble what is downloaded under these names. The head is always Q6_K.
using Mixture = DType (*)(const Place&) noexcept;

DType mix_q2_k(const Place& p) noexcept {
    if (p.part == Part::attn_v) return p.group >= 4 ? DType::q4_k : DType::q3_k;
    const bool better = p.part == Part::attn_output || p.part == Part::ffn_down;
    return better ? DType::q3_k : DType::q2_k;
}

DType mix_q2_k_s(const Place& p) noexcept {
    const bool better =
        (p.part == Part::attn_v && p.group >= 4) || (p.part == Part::ffn_down && p.first(8));
    return better ? DType::q4_k : DType::q2_k;
}

DType mix_q3_k_s(const Place&) noexcept {
    return DType::q3_k;
}

DType mix_q3_k_m(const Place& p) noexcept {
    switch (p.part) {
        case Part::attn_v:
            return p.layer < 2 ? DType::q5_k : DType::q4_k;
        case Part::ffn_down:
            return p.first(16) ? DType::q5_k : DType::q4_k;
        case Part::attn_output:
            return DType::q4_k;
        default:
            return DType::q3_k;
    }
}

DType mix_q3_k_l(const Place& p) noexcept {
    return p.part == Part::other ? DType::q3_k : DType::q5_k;
}

template <DType Main>
DType mix_k_m(const Place& p) noexcept {
    const bool better = p.part == Part::attn_v || p.part == Part::ffn_down;
    return better && p.spread() ? DType::q6_k : Main;
}

template <DType Main>
DType mix_iq4(const Place& p) noexcept {
    const bool better =
        (p.part == Part::attn_v && p.group >= 4) || (p.part == Part::ffn_down && p.first(8));
    return better ? DType::q5_k : Main;
}

struct Recipe {
    std::string_view name;
    std::uint32_t file_type;  ///< general.file_type
    DType main;
    Mixture mixture;  ///< null: everything is of the main type
};

// The file types Q2_K, IQ4_NL and IQ4_XS are mixtures that bear the name of their main type.
constexpr std::array kRecipes = {
    Recipe{"f32", 0, DType::f32, nullptr},
    Recipe{"f16", 1, DType::f16, nullptr},
    Recipe{"bf16", 32, DType::bf16, nullptr},
    Recipe{"q4_0", 2, DType::q4_0, nullptr},
    Recipe{"q4_1", 3, DType::q4_1, nullptr},
    Recipe{"q5_0", 8, DType::q5_0, nullptr},
    Recipe{"q5_1", 9, DType::q5_1, nullptr},
    Recipe{"q8_0", 7, DType::q8_0, nullptr},
    Recipe{"q2_k", 10, DType::q2_k, nullptr},
    Recipe{"q3_k", 11, DType::q3_k, nullptr},
    Recipe{"q4_k", 14, DType::q4_k, nullptr},
    Recipe{"q5_k", 16, DType::q5_k, nullptr},
    Recipe{"q6_k", 18, DType::q6_k, nullptr},
    Recipe{"iq4_nl", 25, DType::iq4_nl, nullptr},
    Recipe{"iq4_xs", 30, DType::iq4_xs, nullptr},
    Recipe{"q2_k_mixed", 10, DType::q2_k, mix_q2_k},
    Recipe{"q2_k_s", 21, DType::q2_k, mix_q2_k_s},
    Recipe{"q3_k_s", 11, DType::q3_k, mix_q3_k_s},
    Recipe{"q3_k_m", 12, DType::q3_k, mix_q3_k_m},
    Recipe{"q3_k_l", 13, DType::q3_k, mix_q3_k_l},
    Recipe{"q4_k_m", 15, DType::q4_k, mix_k_m<DType::q4_k>},
    Recipe{"q5_k_m", 17, DType::q5_k, mix_k_m<DType::q5_k>},
    Recipe{"iq4_nl_mixed", 25, DType::iq4_nl, mix_iq4<DType::iq4_nl>},
    Recipe{"iq4_xs_mixed", 30, DType::iq4_xs, mix_iq4<DType::iq4_xs>},
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

Part part_of(std::string_view tensor, bool tied) noexcept {
    if (tensor == model::tensor_name::kOutput) return Part::head;
    if (tensor == model::tensor_name::kEmbedding) return tied ? Part::head : Part::other;
    if (tensor.ends_with(".attn_v.weight")) return Part::attn_v;
    if (tensor.ends_with(".attn_output.weight")) return Part::attn_output;
    if (tensor.ends_with(".ffn_down.weight") || tensor.ends_with(".ffn_down_exps.weight")) {
        return Part::ffn_down;
    }
    return Part::other;
}

/// A type whose blocks fit rows of `cols` elements, as near to the wanted one as possible.
DType fitting(DType type, std::uint64_t cols) noexcept {
    if (cols % kernels::block_shape(type).elements == 0) return type;
    if (cols % 32 != 0) return DType::f16;
    switch (type) {
        case DType::q2_k:
        case DType::q3_k:
        case DType::iq4_xs:
            return DType::iq4_nl;
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
                           const ModelTraits& traits) {
    const Recipe& recipe = *find_recipe(type);
    if (recipe.mixture == nullptr) return fitting(recipe.main, cols);
    const Part part = part_of(tensor, traits.tied);
    if (part == Part::head) return fitting(DType::q6_k, cols);
    const Place place{part, layer_of(tensor), static_cast<int>(traits.n_layers), traits.group};
    return fitting(recipe.mixture(place), cols);
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
