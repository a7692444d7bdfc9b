// What choosing a token costs one device, in microseconds (medians): `sampling_bench [vocabulary]`.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "daemon/exec/sampling.hpp"

using namespace shoal;

int main(int argc, char** argv) {
    const std::size_t n = argc > 1 ? static_cast<std::size_t>(std::atoll(argv[1])) : 128256;
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0, 2.5F);
    std::vector<float> fresh(n);
    for (float& logit : fresh) logit = normal(random);

    struct Case {
        const char* name;
        float temperature;
        std::uint32_t candidates;
        bool draw;
    };
    for (const kernels::Isa isa : kernels::kIsas) {
        const kernels::Table* table = kernels::table_for(isa);
        if (table == nullptr) continue;
        for (const Case& c :
             {Case{"greedy", 0, 1, false}, Case{"top-k 40", 0.8F, 40, false},
              Case{"top-p of 128", 0.8F, 128, false}, Case{"whole vocabulary", 0.8F, 0, true}}) {
            exec::ScoreRequest request;
            request.temperature = c.temperature;
            request.candidates = c.candidates;
            request.draw = c.draw;
            exec::ScoreBuffers buffers;
            exec::Scores scores;
            std::vector<double> times;
            std::vector<float> logits;
            for (int i = 0; i < 201; ++i) {
                logits = fresh;
                request.position = static_cast<std::uint64_t>(i);
                const auto start = std::chrono::steady_clock::now();
                exec::adjust_logits(*table, logits, 0, request);
                exec::score_logits(*table, logits, 0, request, buffers, scores);
                times.push_back(std::chrono::duration<double, std::micro>(
                                    std::chrono::steady_clock::now() - start)
                                    .count());
            }
            std::nth_element(times.begin(), times.begin() + 100, times.end());
            std::printf("%-12s %-17s %8.1f us\n", table->name, c.name, times[100]);
        }
    }
}
