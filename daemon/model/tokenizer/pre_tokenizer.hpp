// Cutting a text into the pieces that byte-pair merging works on.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/model/tokenizer/pre_tokenizer_rules.hpp"

namespace shoal::model {

/// Immutable and thread-safe after construction.
class PreTokenizer {
  public:
    /// `compile`: translate the expressions to machine code where the system allows it; where it
    /// forbids memory that is writable and executable, they are interpreted, with equal results.
    /// Throws std::runtime_error when an expression does not compile (a bug in the table).
    explicit PreTokenizer(const PreTokenizerRule& rule, bool compile = true);
    ~PreTokenizer();

    /// False: no more pieces are wanted.
    using Sink = std::function<bool(std::string_view)>;
    /// Call `sink` with the pieces of `text`, in order; together they are the text. Bytes that are
    /// no UTF-8 form pieces of their own.
    void split(std::string_view text, const Sink& sink) const;

  private:
    struct Stage;
    class Run;
    std::vector<std::unique_ptr<const Stage>> stages_;
};

}  // namespace shoal::model
