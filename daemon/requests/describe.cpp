#include "daemon/requests/describe.hpp"

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "daemon/chat/answer_format.hpp"
#include "daemon/engine/chat_prompt.hpp"
#include "daemon/engine/infill.hpp"

namespace shoal {
namespace {

using mesh::messages::DescribeReply;

// Longer values, which are licences and templates, are left out.
constexpr std::size_t kMaxValueBytes = 1024;

std::string text_of(const model::MetaValue& value) {
    return std::visit(
        [](const auto& v) -> std::string {
            using T = std::decay_t<decltype(v)>;
            if constexpr (std::is_same_v<T, model::MetaArray>) {
                return "";
            } else if constexpr (std::is_same_v<T, std::string_view>) {
                return v.size() > kMaxValueBytes ? "" : std::string(v);
            } else {
                return fmt::format("{}", v);
            }
        },
        value);
}

}  // namespace

DescribeReply describe(const OpenModel& model, mesh::messages::ModelInfo info) {
    const model::GgufHeader& header = model.source->header();
    const model::Hparams& h = model.hparams;
    DescribeReply out;
    out.info = std::move(info);
    const chat::ChatTemplate with_tools = template_of(header, *model.tokenizer, true);
    if (has_template(header)) {
        out.chat_template = template_of(header, *model.tokenizer, false).source;
    }
    out.bos = with_tools.bos;
    out.eos = with_tools.eos;
    out.thinks = with_tools.source.find("think") != std::string::npos &&
                 !chat::detect(with_tools.source).reasoning.empty();
    out.calls_tools = with_tools.source.find("tools") != std::string::npos;
    out.fills_in = infill_tokens(header, h.n_vocab).has_value();
    out.layers = h.n_layers;
    out.width = h.dim;
    out.heads = h.n_heads;
    out.kv_heads = h.n_kv_heads;
    out.ffn = h.n_ff;
    out.vocabulary = h.n_vocab;
    for (const auto& [key, value] : header.metadata()) {
        if (out.metadata.size() == mesh::messages::kMaxListedMetadata) break;
        if (std::string text = text_of(value); !text.empty()) {
            out.metadata.push_back({key, std::move(text)});
        }
    }
    return out;
}

}  // namespace shoal
