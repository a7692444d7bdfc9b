#define PCRE2_CODE_UNIT_WIDTH 8
#include "daemon/model/tokenizer/pre_tokenizer.hpp"

#include <fmt/core.h>
#include <pcre2.h>

#include <array>
#include <limits>
#include <new>
#include <stdexcept>

#include "daemon/model/tokenizer/utf8.hpp"

namespace shoal::model {
namespace {

/// PCRE2's own \s holds U+180E, which has not been White_Space since Unicode 6.3.
constexpr std::string_view kWhiteSpace = R"(\t-\r\x{85}\p{Z})";

/// Replace \s and \S by the characters they stand for.
std::string expand_white_space(std::string_view pattern) {
    std::string out;
    bool in_class = false;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        const char c = pattern[i];
        if (c != '\\') {
            in_class = in_class ? c != ']' : c == '[';
            out += c;
            continue;
        }
        const char escaped = pattern[++i];
        if (escaped != 's' && escaped != 'S') {
            out.append({c, escaped});
        } else if (in_class) {
            out += kWhiteSpace;  // The table has no \S in a class.
        } else {
            out.append(escaped == 's' ? "[" : "[^").append(kWhiteSpace).append("]");
        }
    }
    return out;
}

struct FreeCode {
    void operator()(pcre2_code* code) const noexcept { pcre2_code_free(code); }
};
struct FreeMatchData {
    void operator()(pcre2_match_data* data) const noexcept { pcre2_match_data_free(data); }
};
struct FreeMatchContext {
    void operator()(pcre2_match_context* context) const noexcept {
        pcre2_match_context_free(context);
    }
};

}  // namespace

struct PreTokenizer::Stage {
    std::unique_ptr<pcre2_code, FreeCode> code;
    std::unique_ptr<pcre2_match_context, FreeMatchContext> context;
};

PreTokenizer::PreTokenizer(const PreTokenizerRule& rule, bool compile) {
    for (const std::string_view stage : rule.stages) {
        const std::string pattern = expand_white_space(stage);
        int error = 0;
        PCRE2_SIZE offset = 0;
        Stage compiled;
        compiled.code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()),
                                          pattern.size(), PCRE2_UTF | PCRE2_UCP, &error, &offset,
                                          nullptr));
        if (!compiled.code) {
            std::array<PCRE2_UCHAR, 256> message{};
            pcre2_get_error_message(error, message.data(), message.size());
            throw std::runtime_error(fmt::format("pre-tokenizer expression {}: {} at {}", pattern,
                                                 reinterpret_cast<const char*>(message.data()),
                                                 offset));
        }
        // Failing is no error: pcre2_match interprets what is not compiled.
        if (compile) pcre2_jit_compile(compiled.code.get(), PCRE2_JIT_COMPLETE);
        // The expressions are linear, so a limit on steps could only cut a long text short.
        compiled.context.reset(pcre2_match_context_create(nullptr));
        if (!compiled.context) throw std::bad_alloc();
        pcre2_set_match_limit(compiled.context.get(), std::numeric_limits<std::uint32_t>::max());
        stages_.push_back(std::make_unique<const Stage>(std::move(compiled)));
    }
}

PreTokenizer::~PreTokenizer() = default;

/// One text's way through the stages.
class PreTokenizer::Run {
  public:
    Run(const PreTokenizer& pre, const Sink& sink) : pre_(pre), sink_(sink) {
        for (const auto& stage : pre.stages_) {
            data_.emplace_back(pcre2_match_data_create_from_pattern(stage->code.get(), nullptr));
            if (!data_.back()) throw std::bad_alloc();
        }
    }

    /// False: the sink wants no more. Requires: `text` is UTF-8 and not empty.
    bool split(std::string_view text, std::size_t stage) {
        if (stage == pre_.stages_.size()) return sink_(text);
        std::size_t done = 0;
        for (std::size_t begin = 0, end = 0; find(text, stage, done, begin, end); done = end) {
            if (done < begin && !split(text.substr(done, begin - done), stage + 1)) return false;
            if (!split(text.substr(begin, end - begin), stage + 1)) return false;
        }
        return done == text.size() || split(text.substr(done), stage + 1);
    }

  private:
    /// The next match at or after `from`. When PCRE2 gives up, for want of memory, the rest of
    /// the text is one piece: its tokens are others than usual, but they spell the same text.
    bool find(std::string_view text, std::size_t stage, std::size_t from, std::size_t& begin,
              std::size_t& end) {
        const Stage& rule = *pre_.stages_[stage];
        pcre2_match_data* data = data_[stage].get();
        const int found =
            pcre2_match(rule.code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                        from, PCRE2_NO_UTF_CHECK, data, rule.context.get());
        if (found < 0) return false;
        const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data);
        begin = bounds[0];
        end = bounds[1];
        return end > begin;
    }

    const PreTokenizer& pre_;
    const Sink& sink_;
    std::vector<std::unique_ptr<pcre2_match_data, FreeMatchData>> data_;
};

void PreTokenizer::split(std::string_view text, const Sink& sink) const {
    Run run(*this, sink);
    while (!text.empty()) {
        const std::size_t valid = valid_utf8_prefix(text);
        if (valid > 0 && !run.split(text.substr(0, valid), 0)) return;
        text.remove_prefix(valid);
        std::size_t broken = 0;
        while (broken < text.size()) {
            const Utf8Step step = utf8_step(text.substr(broken));
            if (step.kind == Utf8Step::Kind::valid) break;
            broken += step.size;
        }
        if (broken > 0 && !sink(text.substr(0, broken))) return;
        text.remove_prefix(broken);
    }
}

}  // namespace shoal::model
