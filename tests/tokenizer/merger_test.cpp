#include "daemon/model/tokenizer/merger.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <string>

#include "daemon/model/tokenizer/hash_tables.hpp"
#include "daemon/model/tokenizer/special_matcher.hpp"

namespace shoal::model::merger_test {
namespace {

using Rules = std::map<std::pair<TokenId, TokenId>, Merger::Candidate>;

std::vector<TokenId> merge(Merger& merger, const std::vector<TokenId>& ids, const Rules& rules) {
    merger.clear();
    for (std::size_t i = 0; i < ids.size(); ++i) {
        merger.append(ids[i], static_cast<std::uint32_t>(i));
    }
    merger.merge([&](std::int32_t left, std::int32_t right) -> Merger::Candidate {
        const Merger& symbols = merger;
        const auto rule = rules.find({symbols.at(left).id, symbols.at(right).id});
        return rule == rules.end() ? Merger::Candidate{Merger::kNoToken, 0} : rule->second;
    });
    std::vector<TokenId> out;
    const Merger& symbols = merger;
    for (std::int32_t i = merger.empty() ? -1 : 0; i >= 0; i = symbols.at(i).next) {
        out.push_back(symbols.at(i).id);
    }
    return out;
}

/// The definition: merge the leftmost pair of the lowest priority until none is left.
std::vector<TokenId> merge_plainly(std::vector<TokenId> ids, const Rules& rules) {
    for (;;) {
        const Merger::Candidate* best = nullptr;
        std::size_t at = 0;
        for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
            const auto rule = rules.find({ids[i], ids[i + 1]});
            if (rule == rules.end()) continue;
            if (best == nullptr || rule->second.priority < best->priority) {
                best = &rule->second;
                at = i;
            }
        }
        if (best == nullptr) return ids;
        ids[at] = best->merged;
        ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    }
}

/// 0 0 -> 1, 1 1 -> 2, ...: a long run of one symbol merges again and again.
Rules doubling(int levels) {
    Rules rules;
    for (int i = 0; i < levels; ++i) rules[{i, i}] = {i + 1, static_cast<std::uint32_t>(i)};
    return rules;
}

TEST_SUITE("merger") {
    TEST_CASE("nothing and a single symbol stay as they are") {
        Merger merger;
        CHECK(merge(merger, {}, doubling(3)).empty());
        CHECK(merge(merger, {0}, doubling(3)) == std::vector<TokenId>{0});
    }

    TEST_CASE("the leftmost of equal pairs merges first") {
        Merger merger;
        CHECK(merge(merger, {0, 0, 0}, doubling(1)) == std::vector<TokenId>{1, 0});
    }

    TEST_CASE("a better pair to the right merges before a worse one to the left") {
        Merger merger;
        const Rules rules = {{{0, 1}, {10, 5}}, {{1, 2}, {11, 4}}};
        CHECK(merge(merger, {0, 1, 2}, rules) == std::vector<TokenId>{0, 11});
    }

    TEST_CASE("symbols without a token take part by position only") {
        Merger merger;
        const Rules rules = {{{0, 0}, {1, 0}}};
        CHECK(merge(merger, {0, Merger::kNoToken, 0, 0}, rules) ==
              std::vector<TokenId>{0, Merger::kNoToken, 1});
    }

    TEST_CASE("the outcome is that of merging one pair after the other") {
        std::mt19937 random(11);
        Merger merger;
        for (int round = 0; round < 2000; ++round) {
            CAPTURE(round);
            Rules rules;
            // Equal priorities of different pairs occur in SentencePiece vocabularies.
            for (unsigned i = 0; i < 12; ++i) {
                rules[{static_cast<TokenId>(random() % 6), static_cast<TokenId>(random() % 6)}] = {
                    static_cast<TokenId>(random() % 6), static_cast<std::uint32_t>(random() % 8)};
            }
            std::vector<TokenId> ids(random() % 30);
            for (TokenId& id : ids) id = static_cast<TokenId>(random() % 3);
            CHECK(merge(merger, ids, rules) == merge_plainly(ids, rules));
        }
    }

    TEST_CASE("twice the text is hardly more than twice the work") {
        const Rules rules = doubling(18);
        std::uint64_t before = 0;
        for (std::size_t size = 4096; size <= 65536; size *= 2) {
            CAPTURE(size);
            Merger merger;
            merge(merger, std::vector<TokenId>(size, 0), rules);
            // Each pair is looked up once, each of at most n merges looks up and queues two.
            CHECK(merger.work() <= 6 * size);
            if (before > 0) CHECK(merger.work() <= before * 9 / 4);
            before = merger.work();
        }
    }
}

TEST_SUITE("hash tables") {
    TEST_CASE("strings are found by their text and only once inserted") {
        std::vector<std::string> texts;
        for (int i = 0; i < 5000; ++i) texts.push_back("token " + std::to_string(i * i));
        const auto text_of = [&](std::int32_t i) -> std::string_view {
            return texts[static_cast<std::size_t>(i)];
        };
        TextIndex index(texts.size());
        for (std::int32_t i = 0; i < 5000; ++i) CHECK(index.insert(text_of(i), i, text_of));
        for (std::int32_t i = 0; i < 5000; ++i) {
            CHECK(index.find(text_of(i), text_of) == i);
            CHECK_FALSE(index.insert(text_of(i), 9999, text_of));
        }
        CHECK(index.find("token", text_of) == TextIndex::kNone);
        CHECK(index.find("", text_of) == TextIndex::kNone);
    }

    TEST_CASE("pairs are ordered and the first value of a pair stays") {
        PairTable<int> table(10000);
        for (std::uint32_t i = 0; i < 100; ++i) {
            for (std::uint32_t j = 0; j < 100; ++j) {
                CHECK(table.insert(i, j, static_cast<int>(i * 1000 + j)));
            }
        }
        CHECK_FALSE(table.insert(3, 4, -1));
        for (std::uint32_t i = 0; i < 100; ++i) {
            for (std::uint32_t j = 0; j < 100; ++j) {
                REQUIRE(table.find(i, j) != nullptr);
                CHECK(*table.find(i, j) == static_cast<int>(i * 1000 + j));
            }
        }
        CHECK(table.find(100, 0) == nullptr);
        CHECK(table.find(0xFFFFFFFFU, 0xFFFFFFFFU) == nullptr);
        CHECK(PairTable<int>(0).find(0, 0) == nullptr);
    }
}

using Tokens = std::vector<std::string>;

/// "begin:id" of each match.
std::string matches(const Tokens& tokens, std::string_view text) {
    std::vector<std::pair<std::string_view, TokenId>> list;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        list.emplace_back(tokens[i], static_cast<TokenId>(i));
    }
    std::string out;
    const SpecialMatcher matcher(list);
    SpecialMatcher::Scan scan(matcher, text);
    while (const auto match = scan.next()) {
        CHECK(match->size == tokens[static_cast<std::size_t>(match->id)].size());
        out += std::to_string(match->begin) + ":" + std::to_string(match->id) + " ";
    }
    return out;
}

/// The definition: at each position the longest token, else one byte further.
std::string matches_plainly(const Tokens& tokens, std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        std::size_t best = tokens.size();
        for (std::size_t i = 0; i < tokens.size(); ++i) {
            if (text.substr(at).substr(0, tokens[i].size()) != tokens[i]) continue;
            if (best == tokens.size() || tokens[i].size() > tokens[best].size()) best = i;
        }
        if (best == tokens.size()) {
            ++at;
            continue;
        }
        out += std::to_string(at) + ":" + std::to_string(best) + " ";
        at += tokens[best].size();
    }
    return out;
}

TEST_SUITE("special matcher") {
    TEST_CASE("the leftmost longest token wins") {
        const Tokens tokens = {"<|a|>", "<|a|><|b|>", "<|b|>", "b|><|"};
        CHECK(matches(tokens, "x<|a|>y") == "1:0 ");
        CHECK(matches(tokens, "<|a|><|b|>") == "0:1 ");
        CHECK(matches(tokens, "<|b|><|b|>") == "0:2 5:2 ");
        CHECK(matches(tokens, "b|><|b|>") == "0:3 ");
        CHECK(matches(tokens, "<|a|") == "");
        CHECK(matches(tokens, "") == "");
        CHECK(matches({}, "abc") == "");
    }

    TEST_CASE("it finds what trying every token at every place finds") {
        std::mt19937 random(5);
        for (int round = 0; round < 2000; ++round) {
            CAPTURE(round);
            std::map<std::string, bool> distinct;
            for (auto i = random() % 6; i > 0; --i) {
                std::string token(1 + random() % 5, 'a');
                for (char& c : token) c = random() % 2 == 0 ? 'a' : 'b';
                distinct[token] = true;
            }
            Tokens tokens;
            for (const auto& [token, unused] : distinct) tokens.push_back(token);
            std::string text(random() % 40, 'a');
            for (char& c : text) c = random() % 3 == 0 ? 'b' : 'a';
            CHECK(matches(tokens, text) == matches_plainly(tokens, text));
        }
    }

    TEST_CASE("it finds tokens across the borders of the blocks it goes by") {
        std::mt19937 random(6);
        const Tokens tokens = {"a", "ab", "bab", std::string(20'000, 'c'), "cb"};
        for (int round = 0; round < 20; ++round) {
            CAPTURE(round);
            std::string text(60'000, 'c');
            for (int i = 0; i < 8; ++i) {
                const std::size_t border = (1 + random() % 3) << 14;
                text[border - 4 + random() % 8] = random() % 2 == 0 ? 'a' : 'b';
            }
            CHECK(matches(tokens, text) == matches_plainly(tokens, text));
        }
    }

    TEST_CASE("tokens that all but match everywhere cost no more than others") {
        // Trying this token at every place would be 10^10 comparisons.
        const std::string run(10000, 'a');
        const Tokens tokens = {run + "b", "b" + run};
        CHECK(matches(tokens, std::string(std::size_t{1} << 20, 'a')) == "");
    }
}

}  // namespace
}  // namespace shoal::model::merger_test
