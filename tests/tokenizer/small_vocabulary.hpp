// Vocabularies for tests, built in memory as the header of a GGUF file.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/model/tokenizer.hpp"

namespace shoal::model {

/// The keys of a file; a test changes or erases what it is about.
class HeaderBuilder {
  public:
    using Value =
        std::variant<bool, std::uint32_t, std::int32_t, std::string, std::vector<std::string>,
                     std::vector<float>, std::vector<std::int32_t>>;

    HeaderBuilder& set(const std::string& key, Value value) {
        keys_[key] = std::move(value);
        return *this;
    }
    HeaderBuilder& erase(const std::string& key) {
        keys_.erase(key);
        return *this;
    }
    template <class T>
    T& at(const std::string& key) {
        return std::get<T>(keys_.at(key));
    }

    /// The tokenizer that the keys describe, called "small.gguf" in messages.
    std::unique_ptr<Tokenizer> tokenizer(
        Tokenizer::UnknownPre unknown = Tokenizer::UnknownPre::refuse) const;

  private:
    std::map<std::string, Value> keys_;
};

/// "gpt2": the 256 bytes, then the outcome of each merge, then `special` with its type.
/// Merges are pairs of plain ASCII strings; spaces are spelled as the byte alphabet does.
HeaderBuilder bpe_vocabulary(const std::string& pre,
                             const std::vector<std::pair<std::string, std::string>>& merges,
                             const std::vector<std::pair<std::string, std::int32_t>>& special = {});

/// "llama": <unk>, <s>, </s>, the 256 bytes, then `pieces` with falling scores, then `special`.
HeaderBuilder spm_vocabulary(const std::vector<std::string>& pieces,
                             const std::vector<std::pair<std::string, std::int32_t>>& special = {});

/// The tokens' texts joined by '|', for readable expectations.
std::string show(const Tokenizer& tokenizer, const std::vector<TokenId>& ids);

/// All bytes of a sequence, undecoded.
std::string join(const Tokenizer& tokenizer, const std::vector<TokenId>& ids);

/// Text and nothing else: no BOS, no special tokens from text.
inline constexpr Tokenizer::EncodeOptions kPlain{false, false};

}  // namespace shoal::model
