#include "daemon/engine/prefix_index.hpp"

#include <doctest/doctest.h>

#include <numeric>

namespace prefix_index_test {

using namespace shoal;

namespace {

using Ids = std::vector<std::int32_t>;

// Tokens 1, 2, 3, ...; the last `other` of them of another text.
exec::Sequence text(exec::SequenceId id, std::size_t tokens, std::size_t other = 0,
                    std::uint32_t shared_until = 0) {
    exec::Sequence sequence;
    sequence.id = id;
    sequence.tokens.resize(tokens);
    std::iota(sequence.tokens.begin(), sequence.tokens.end(), 1);
    for (std::size_t i = tokens - other; i < tokens; ++i)
        sequence.tokens[i] += 1000 * static_cast<std::int32_t>(id);
    sequence.computed = static_cast<std::uint32_t>(tokens);
    sequence.shared_until = shared_until;
    return sequence;
}

}  // namespace

TEST_SUITE("PrefixIndex") {
    TEST_CASE("the longest common beginning is found, but for the last token") {
        PrefixIndex index;
        CHECK(index.find(text(9, 10)).positions == 0);
        CHECK(index.keep(text(1, 100, 60)).empty());
        CHECK(index.keep(text(2, 100, 20)).empty());
        CHECK(index.find(text(9, 100)).from == 2);
        CHECK(index.find(text(9, 100)).positions == 80);
        CHECK(index.find(text(9, 30)).positions == 29);
        CHECK(index.find(text(9, 1)).positions == 0);
        index.drop(2);
        CHECK(index.find(text(9, 100)).from == 1);
        CHECK(index.find(text(9, 100)).positions == 40);
    }

    TEST_CASE("what is the beginning of another one need not be kept") {
        PrefixIndex index;
        CHECK(index.keep(text(1, 50)).empty());
        CHECK(index.keep(text(2, 40)) == std::vector<exec::SequenceId>{2});
        CHECK(index.keep(text(3, 60)) == std::vector<exec::SequenceId>{1});
        CHECK(index.keep(text(4, 60)) == std::vector<exec::SequenceId>{4});
        CHECK(index.kept() == 1);
        // But of those that run none is given up.
        index.add_running(text(5, 70));
        CHECK(index.keep(text(6, 80)) == std::vector<exec::SequenceId>{3});
        CHECK(index.knows(5));
    }

    TEST_CASE("the least recently used goes first, and none that runs") {
        PrefixIndex index;
        CHECK_FALSE(index.oldest());
        index.add_running(text(1, 30, 10));
        CHECK_FALSE(index.oldest());
        CHECK(index.keep(text(2, 30, 20)).empty());
        CHECK(index.keep(text(3, 30, 15)).empty());
        REQUIRE(index.oldest());
        CHECK(index.oldest()->from == 2);
        CHECK(index.oldest()->positions == 30);
        CHECK(index.find(text(9, 40, 30)).from == 1);  // 10 in common with all
        CHECK(index.find(text(2, 30, 20)).from == 2);
        CHECK(index.oldest()->from == 2);
        index.use(2);
        CHECK(index.oldest()->from == 3);
        index.shorten(3, 7, 16);
        CHECK(index.oldest()->from == 7);
        CHECK(index.oldest()->positions == 16);
        CHECK(index.find(text(3, 30, 15)).from == 7);
        CHECK(index.find(text(3, 30, 15)).positions == 16);
    }

    TEST_CASE("there is a limit to what is kept") {
        PrefixIndex index;
        for (exec::SequenceId id = 1; id <= PrefixIndex::kMostKept; ++id) {
            REQUIRE(index.keep(text(id, 8, 7)).empty());
        }
        CHECK(index.keep(text(1000, 8, 7)) == std::vector<exec::SequenceId>{1});
        CHECK(index.kept() == PrefixIndex::kMostKept);

        PrefixIndex few(100);
        CHECK(few.keep(text(1, 40, 40)).empty());
        CHECK(few.keep(text(2, 40, 40)).empty());
        few.add_running(text(3, 90, 90));
        CHECK(few.keep(text(4, 70, 70)) == std::vector<exec::SequenceId>{1, 2});
        CHECK(few.knows(3));
    }

    TEST_CASE("rows of the two kinds are not mixed up") {
        PrefixIndex index;
        CHECK(index.keep(text(1, 100, 0, 60)).empty());  // a prompt of 60 and its answer
        CHECK(index.find(text(9, 50, 0, 0)).positions == 0);
        CHECK(index.find(text(9, 90, 0, 90)).positions == 60);
        CHECK(index.find(text(9, 100, 0, 60)).positions == 99);  // itself, once more
        CHECK(index.keep(text(2, 50, 0, 0)).empty());
        CHECK(index.find(text(9, 50, 0, 0)).positions == 49);
        CHECK(index.keep(text(3, 60, 0, 60)) == std::vector<exec::SequenceId>{3});
    }
}

}  // namespace prefix_index_test
