#include "daemon/model/tokenizer/pre_tokenizer.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <random>
#include <set>

namespace shoal::model::pre_tokenizer_test {
namespace {

std::vector<std::string> pieces(const PreTokenizer& pre, std::string_view text) {
    std::vector<std::string> out;
    pre.split(text, [&](std::string_view piece) {
        out.emplace_back(piece);
        return true;
    });
    return out;
}

/// The pieces joined by '¦'.
std::string cut(std::string_view rule, std::string_view text) {
    const PreTokenizerRule* found = find_pre_tokenizer_rule(rule);
    REQUIRE(found != nullptr);
    std::string out;
    for (const std::string& piece : pieces(PreTokenizer(*found), text)) {
        if (!out.empty()) out += "¦";
        out += piece;
    }
    return out;
}

/// One rule of each kind, by its first name.
std::vector<std::string_view> distinct_rules() {
    std::set<const std::string_view*> seen;
    std::vector<std::string_view> names;
    for (const std::string_view name : pre_tokenizer_names()) {
        if (seen.insert(find_pre_tokenizer_rule(name)->stages.data()).second) names.push_back(name);
    }
    return names;
}

TEST_SUITE("pre-tokenizer") {
    TEST_CASE("GPT-2 takes a space along, contractions apart and numbers whole") {
        CHECK(cut("gpt-2", "I'll don't WE'RE") == "I¦'ll¦ don¦'t¦ WE¦'¦RE");
        CHECK(cut("gpt-2", "in 1234 ways...") == "in¦ 1234¦ ways¦...");
        CHECK(cut("gpt-2", "a  b   ") == "a¦ ¦ b¦   ");
        CHECK(cut("gpt-2", "a\n\n  b\n") == "a¦\n\n ¦ b¦\n");
        CHECK(cut("gpt-2", "x\ty") == "x¦\t¦y");
        CHECK(cut("gpt-2", "你好, 世界!") == "你好¦,¦ 世界¦!");
        CHECK(cut("gpt-2", "a👨‍👩‍👧 b") == "a¦👨‍👩‍👧¦ b");
        CHECK(cut("gpt-2", "½Ⅷ٣x") == "½Ⅷ٣¦x");
    }

    TEST_CASE("StarCoder takes every digit alone") {
        CHECK(cut("starcoder", "in 123 ways") == "in¦ ¦1¦2¦3¦ ways");
        CHECK(cut("starcoder", "x2y's") == "x¦2¦y¦'s");
        CHECK(cut("smollm", "7 up") == "7¦ up");
    }

    TEST_CASE("Llama 3 groups digits by three and lets any mark lead a word") {
        CHECK(cut("llama-bpe", "1234567 and 12") == "123¦456¦7¦ and¦ ¦12");
        CHECK(cut("llama-bpe", "I'LL don't 'S'") == "I¦'LL¦ don¦'t¦ '¦S¦'");
        CHECK(cut("llama-bpe", "(word) a.b\tc") == "(word¦)¦ a¦.b¦\tc");
        CHECK(cut("llama-bpe", "end.\r\n\r\nNew") == "end¦.\r\n\r\n¦New");
        CHECK(cut("llama-bpe", "a \n \n  b") == "a¦ \n \n¦ ¦ b");
        CHECK(cut("llama-bpe", "a   ") == "a¦   ");
        CHECK(cut("llama-bpe", "a ?我想在apple") == "a¦ ?¦我想在apple");
        CHECK(cut("llama-bpe", "cafe\xCC\x81s") == "cafe¦\xCC\x81s");  // a combining accent
        CHECK(cut("llama-bpe", "'\xC5\xBFt") == "'\xC5\xBF¦t");        // the long s folds to s
    }

    TEST_CASE("Qwen 2 is Llama 3 with single digits") {
        CHECK(cut("qwen2", "in 123 ways") == "in¦ ¦1¦2¦3¦ ways");
        CHECK(cut("qwen2", "I'LL (word)") == "I¦'LL¦ (¦word¦)");
        CHECK(cut("deepseek-r1-qwen", "12") == "1¦2");
        CHECK(cut("qwen35", "cafe\xCC\x81s") == "cafe\xCC\x81s");
    }

    TEST_CASE("tekken begins a word where a capital follows a small letter") {
        CHECK(cut("tekken", "camelCaseABC word") == "camel¦Case¦ABC¦ word");
        CHECK(cut("tekken", "HTTPServer 12") == "HTTPServer¦ ¦1¦2");
        CHECK(cut("tekken", "don't a//b\n") == "don¦'t¦ a¦//¦b¦\n");
        CHECK(cut("tekken", "中文Word") == "中文Word");
        CHECK(cut("gpt-4o", "I'll don'T 1234") == "I'll¦ don'T¦ ¦123¦4");
    }

    TEST_CASE("DeepSeek LLM cuts out line ends, cased words, marks, CJK and numbers") {
        CHECK(cut("deepseek-llm", "Hello world\n\nx") == "Hello¦ world¦\n¦\n¦x");
        CHECK(cut("deepseek-llm", "a  b,  c  ") == "a¦ ¦ b¦,¦ ¦ c¦  ");
        CHECK(cut("deepseek-llm", "我想apple123工作") == "我想¦apple¦123¦工作");
        CHECK(cut("deepseek-llm", "can't") == "can¦'¦t");
        CHECK(cut("deepseek-llm", "𝐀B") == "𝐀¦B");  // cased, but not in the model's class
    }

    TEST_CASE("DeepSeek Coder cuts out line ends, words, marks, CJK and digits") {
        CHECK(cut("deepseek-coder", "if (x) y=12\n") == "if¦ (¦x¦)¦ y¦=¦1¦2¦\n");
        CHECK(cut("deepseek-coder", "a  b") == "a¦ ¦ b");
    }

    TEST_CASE("DeepSeek V3 cuts out numbers and CJK, and lets one mark lead a word") {
        CHECK(cut("deepseek-v3", "x1234 中文カナok") == "x¦123¦4¦ ¦中文カナ¦ok");
        CHECK(cut("deepseek-v3", "don't (word) f.g") == "don¦'t¦ (¦word¦)¦ f¦.g");
        CHECK(cut("deepseek-v3", "a+=b  \n c") == "a¦+=¦b¦  \n¦ c");
        CHECK(cut("deepseek-v3", "cafe\xCC\x81") == "cafe\xCC\x81");
    }

    TEST_CASE("Falcon cuts out marks and groups digits by three from the left") {
        CHECK(cut("falcon", "can't 12345!!") == "can¦'¦t¦ ¦123¦45¦!!");
        CHECK(cut("falcon", "a`b`+c") == "a¦`¦b¦`+¦c");
        CHECK(cut("default", "a 12345 b") == "a¦ ¦123¦45¦ b");
        CHECK(cut("default", "a 12 b") == "a¦ ¦12¦ b");
    }

    TEST_CASE("BLOOM cuts at a fixed set of marks") {
        CHECK(cut("bloom", "hello world, it's 12") == "hello¦ world¦,¦ it's¦ 12");
        CHECK(cut("viking", "a 12") == "a¦ ¦1¦2");
    }

    TEST_CASE("white space is Unicode's") {
        for (const char* space :
             {" ", "\t", "\xC2\x85", "\xC2\xA0", "\xE2\x80\xA8", "\xE3\x80\x80"}) {
            CAPTURE(std::string(space));
            const std::string two = std::string(space) + space;
            CHECK(cut("gpt-2", "a" + two) == "a¦" + two);
            CHECK(cut("gpt-2", "!" + two) == "!¦" + two);
        }
        // Neither of these is: they go with the marks.
        for (const char* mark : {"\xE1\xA0\x8E", "\xE2\x80\x8B", "\xEF\xBB\xBF", "\x1C"}) {
            const std::string marked = std::string("!").append(mark);
            CHECK(cut("gpt-2", marked) == marked);
        }
    }

    TEST_CASE("bytes that are no UTF-8 are pieces of their own") {
        CHECK(cut("llama-bpe",
                  "ab\xFF\xFE"
                  "cd") == "ab¦\xFF\xFE¦cd");
        CHECK(cut("gpt-2", "\xE4\xBD") == "\xE4\xBD");
        CHECK(cut("deepseek-llm", "a \xC3 b") == "a¦ ¦\xC3¦ b");
        CHECK(cut("gpt-2", "") == "");
    }

    TEST_CASE("every rule leaves the text whole, compiled and interpreted alike") {
        const std::string_view parts[] = {
            "a",        "Bc",   "É",        "ß", "中", "カ", "1",    "23", "½",
            "'s",       "'LL",  "'",        " ", "  ", "\n", "\r\n", "\t", "\xC2\xA0",
            "!",        "...",  "。",       "-", "_",  "$",  "+=",   "😁",  "👨‍👩‍👧",
            "\xCC\x81", "\xFF", "\xE4\xBD", "(", "]",  "/"};
        std::mt19937 random(17);
        for (const std::string_view name : distinct_rules()) {
            CAPTURE(name);
            const PreTokenizer compiled(*find_pre_tokenizer_rule(name));
            const PreTokenizer interpreted(*find_pre_tokenizer_rule(name), false);
            for (int round = 0; round < 300; ++round) {
                std::string text;
                for (auto i = random() % 16; i > 0; --i) text += parts[random() % std::size(parts)];
                CAPTURE(text);
                const auto got = pieces(compiled, text);
                CHECK(got == pieces(interpreted, text));
                std::string whole;
                for (const std::string& piece : got) {
                    CHECK_FALSE(piece.empty());
                    whole += piece;
                }
                CHECK(whole == text);
            }
        }
    }

    TEST_CASE("long runs of anything take time in proportion") {
        // Backtracking through this much at every position takes more than ten seconds.
        constexpr std::size_t kSize = std::size_t{1} << 15;
        const auto seconds = [](const PreTokenizer& pre, const std::string& text) {
            std::size_t bytes = 0;
            const auto start = std::chrono::steady_clock::now();
            pre.split(text, [&](std::string_view piece) {
                bytes += piece.size();
                return true;
            });
            const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
            CHECK(bytes == text.size());
            return took.count();
        };
        for (const std::string_view name : distinct_rules()) {
            CAPTURE(name);
            for (const bool compile : {true, false}) {
                CAPTURE(compile);
                const PreTokenizer pre(*find_pre_tokenizer_rule(name), compile);
                for (const std::string_view unit : {" ", "\n", " \n", "a", "A", "1", "!", "'", "中",
                                                    "\xCC\x81", "\xFF", "\xE3\x80\x80", "aA"}) {
                    CAPTURE(std::string(unit));
                    std::string text = "x";
                    while (text.size() < kSize) text += unit;
                    CHECK(seconds(pre, text + "x") < 2.0);
                    CHECK(seconds(pre, text + "1") < 2.0);
                }
            }
        }
    }

    TEST_CASE("an unknown name has no rule, and each name is listed once") {
        CHECK(find_pre_tokenizer_rule("no-such-model") == nullptr);
        CHECK(find_pre_tokenizer_rule("") == nullptr);
        CHECK(find_pre_tokenizer_rule("default") == &default_pre_tokenizer_rule());
        const auto names = pre_tokenizer_names();
        CHECK(std::set<std::string_view>(names.begin(), names.end()).size() == names.size());
    }
}

}  // namespace
}  // namespace shoal::model::pre_tokenizer_test
