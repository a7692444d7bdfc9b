// A byte-level BPE vocabulary of any size, made from nothing but the alphabet.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/model/gguf_writer.hpp"

namespace shoal::tests {

/// Tokens for every byte, then letter groups of two, three and four letters in order of how
/// common they are in English, then special tokens: any text can be tokenised, and English text
/// into about one token per two or three letters.
struct Vocabulary {
    std::vector<std::string> tokens;
    std::vector<std::int32_t> types;  ///< 1 normal, 3 control, 5 unused
    std::vector<std::string> merges;
    std::int32_t bos = 0;
    std::int32_t eos = 0;
};

/// Fewest tokens that make a vocabulary: all bytes and the special tokens.
inline constexpr std::uint32_t kMinVocabulary = 264;

/// Special tokens as "llama" (Llama 3) or, for other architectures, Qwen has them.
/// Throws ModelError when n_vocab is below kMinVocabulary.
Vocabulary make_vocabulary(std::string_view architecture, std::uint32_t n_vocab);

/// Write it as tokenizer.ggml.*, with a chat template that uses its special tokens.
void set_vocabulary(model::GgufWriter& writer, std::string_view architecture,
                    const Vocabulary& vocabulary);

}  // namespace shoal::tests
