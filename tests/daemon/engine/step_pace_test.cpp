#include "daemon/engine/step_pace.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

namespace step_pace_test {

using namespace shoal;

namespace {

// A machine whose steps take so long.
struct Machine {
    double step = 0.1;  // seconds of a step of answers alone
    double row = 0.01;  // and of a row of a prompt beside them, at its beginning
    double later = 0;   // what a row's position adds, for each row before it
    double noise = 0;   // part by which a step may take longer
    std::uint64_t seed = 1;
    std::size_t answers = 1;
    // In the second half of the prompt.
    double later_step = step;
    std::size_t later_answers = answers;
};

struct Ran {
    double longest = 0;  // gap of a running answer
    double gaps = 0;     // the same, of a step of answers alone at that time
    double seconds = 0;
    std::size_t steps = 0;
};

// A prompt comes in beside running answers, up to 256 rows a step.
Ran run(const Machine& m, std::uint32_t prompt, bool shared) {
    StepPace pace;
    std::mt19937_64 random(m.seed);
    std::uniform_real_distribution<double> more(0, m.noise);
    Ran ran;
    for (std::uint32_t at = 0; at < prompt; ++ran.steps) {
        const double step = at < prompt / 2 ? m.step : m.later_step;
        const std::size_t answers = at < prompt / 2 ? m.answers : m.later_answers;
        const exec::PromptRows most = pace.prompt_rows(answers, false);
        const std::uint32_t rows =
            std::min({shared ? most.shared : most.together, 256U, prompt - at});
        const double of_rows = rows * (m.row + m.later * at) * (1 + more(random));
        const double of_answers = step * (1 + more(random));
        if (shared && rows != 0) {
            pace.stepped(rows, answers, true, of_rows);
            pace.stepped(0, answers, false, of_answers);
        } else {
            pace.stepped(rows, answers, false, of_answers + of_rows);
        }
        ran.longest = std::max(ran.longest, of_answers + of_rows);
        ran.gaps = std::max(ran.gaps, (of_answers + of_rows) / step);
        ran.seconds += of_answers + of_rows;
        at += rows;
    }
    return ran;
}

}  // namespace

TEST_SUITE("StepPace") {
    TEST_CASE("while 8000 tokens come in no gap is longer than three usual ones") {
        for (const bool shared : {false, true}) {
            for (const double row : {0.0005, 0.001, 0.002}) {
                // At the end of the prompt 64 of these rows would take longer than that.
                if (shared && row > 0.001) continue;
                for (std::uint64_t seed = 1; seed <= 20; ++seed) {
                    CAPTURE(shared);
                    CAPTURE(row);
                    CAPTURE(seed);
                    const Machine machine{0.1, row, row / 8000, 0.1, seed};
                    const Ran ran = run(machine, 8000, shared);
                    CHECK(ran.longest <= StepPace::kMostGaps * machine.step);
                }
            }
        }
    }

    TEST_CASE("and the prompt gets the half of the time at least") {
        const Machine machine{0.1, 0.01, 0, 0};
        const Ran ran = run(machine, 8000, false);
        CHECK(ran.seconds < 8000 * machine.row * 2);
        CHECK(ran.longest > 2 * machine.step);
    }

    TEST_CASE("also when answers begin and end meanwhile, or other programs") {
        for (const bool shared : {false, true}) {
            CAPTURE(shared);
            const double rows = 8000 * 0.001;
            const Ran more = run({0.05, 0.001, 0, 0, 1, 5, 0.1, 10}, 8000, shared);
            CHECK(more.gaps <= StepPace::kMostGaps);
            CHECK(more.seconds < rows * 2.2);
            const Ran fewer = run({0.1, 0.001, 0, 0, 1, 10, 0.05, 5}, 8000, shared);
            CHECK(fewer.gaps <= StepPace::kMostGaps);
            CHECK(fewer.seconds < rows * 2.2);
            const Ran busy = run({0.1, 0.001, 0, 0, 1, 5, 0.2, 5}, 8000, shared);
            CHECK(busy.gaps <= StepPace::kMostGaps);
            CHECK(busy.seconds < rows * 2.5);
        }
    }

    TEST_CASE("and when prompts of both kinds come in, in turns") {
        StepPace pace;
        const double step = 0.1, row = 0.0005;
        double since_token = 0;
        pace.stepped(0, 3, false, step);
        for (int i = 0; i < 400; ++i) {
            const exec::PromptRows most = pace.prompt_rows(3, true);
            const bool shared = i % 2 == 0 && most.shared != 0;
            const double took = shared ? most.shared * row : step + most.together * row;
            pace.stepped(shared ? most.shared : most.together, 3, shared, took);
            since_token += took;
            CHECK(since_token <= StepPace::kMostGaps * step);
            if (!shared) since_token = 0;
        }
    }

    TEST_CASE("however often answers begin and end, prompts come in") {
        StepPace pace;
        std::uint32_t rows = 0;
        for (std::size_t i = 0; i < 100; ++i) {
            const std::size_t answers = 1 + 7 * i % 40;
            const std::uint32_t now = pace.prompt_rows(answers, false).together;
            pace.stepped(now, answers, false, 0.1 + 0.001 * now);
            rows += now;
        }
        CHECK(rows >= 49 * StepPace::kLeastTogether);
    }

    TEST_CASE("rows that take long are still some") {
        const Ran together = run({0.01, 1, 0, 0}, 400, false);
        CHECK(together.steps <= 400 / StepPace::kLeastTogether * 17 / 16 + 2);
        const Ran shared = run({0.01, 1, 0, 0}, 640, true);
        CHECK(shared.steps <= 640 / StepPace::kLeastShared + 1);
    }

    TEST_CASE("nothing of a prompt comes beside answers before one of their own steps was seen") {
        StepPace pace;
        CHECK(pace.prompt_rows(1, false).together == 0);
        CHECK(pace.prompt_rows(1, false).shared == 0);
        pace.stepped(256, 0, false, 1);
        CHECK(pace.prompt_rows(1, false).together == 0);
        pace.stepped(0, 1, false, 0.1);
        CHECK(pace.prompt_rows(1, false).together == StepPace::kLeastTogether);
        CHECK(pace.prompt_rows(1, false).shared == StepPace::kLeastShared);
    }
}

}  // namespace step_pace_test
