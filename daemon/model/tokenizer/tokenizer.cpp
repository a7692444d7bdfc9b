#include "daemon/model/tokenizer.hpp"

#include <fmt/core.h>

#include "daemon/model/gguf_names.hpp"
#include "daemon/model/tokenizer/vocab_tokenizer.hpp"

namespace shoal::model {

std::unique_ptr<Tokenizer> Tokenizer::from_header(const GgufHeader& header, UnknownPre unknown) {
    constexpr std::string_view kModel = "tokenizer.ggml.model";
    const std::string_view model = header.get_string(kModel);
    if (model == "llama") return make_spm_tokenizer(header);
    if (model == "gpt2") return make_bpe_tokenizer(header, unknown);
    fail_key(header, kModel,
             fmt::format("is {}, a kind of tokenizer that is not known here; \"llama\" "
                         "(SentencePiece) and \"gpt2\" (byte-level BPE) are",
                         quote(model)));
}

}  // namespace shoal::model
