#include "cli/model_bench.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>

#include "cli/commands.hpp"
#include "cli/exit_codes.hpp"

namespace shoal::cli {
namespace messages = mesh::messages;
namespace {

using Json = nlohmann::ordered_json;

messages::Generate question(const std::string& model, const messages::DescribeReply& about,
                            std::uint32_t prompt, std::uint32_t answer) {
    messages::Generate generate;
    generate.model = model;
    // One that was computed before would be found and not be measured.
    generate.prompt_ids = bench_prompt(prompt, about.vocabulary, std::random_device()());
    generate.max_tokens = answer;
    generate.ignore_eos = true;
    generate.sampling.temperature = 0;
    return generate;
}

/// What a bar in a table would end.
std::string cell(std::string_view text) {
    std::string out = one_line(text);
    std::ranges::replace(out, '|', '/');
    return out;
}

}  // namespace

double Rate::mean() const noexcept {
    const auto& all = tokens_per_second;
    return all.empty()
               ? 0
               : std::accumulate(all.begin(), all.end(), 0.0) / static_cast<double>(all.size());
}

double Rate::deviation() const noexcept {
    if (tokens_per_second.size() < 2) return 0;
    const double middle = mean();
    double sum = 0;
    for (const double rate : tokens_per_second) sum += (rate - middle) * (rate - middle);
    return std::sqrt(sum / static_cast<double>(tokens_per_second.size() - 1));
}

std::vector<std::int32_t> bench_prompt(std::uint32_t tokens, std::uint32_t vocabulary,
                                       std::uint32_t seed) {
    const std::uint32_t quarter = vocabulary / 4;
    const std::uint32_t range = std::max(1U, vocabulary - 2 * quarter);
    std::mt19937 random(seed);
    std::vector<std::int32_t> ids;
    for (std::uint32_t i = 0; i < tokens; ++i) {
        ids.push_back(static_cast<std::int32_t>(quarter + random() % range));
    }
    return ids;
}

std::string bench_table(const messages::DescribeReply& model, std::uint32_t devices,
                        const std::vector<Rate>& rates) {
    std::string text =
        "| model | size | parameters | devices | test | tokens/s |\n"
        "|---|---:|---:|---:|---|---:|\n";
    for (const Rate& rate : rates) {
        text += fmt::format("| {} {} | {} | {:.2f} B | {} | {} | {:.2f} ± {:.2f} |\n",
                            cell(model.info.name), cell(model.info.quantisation),
                            bytes_text(model.info.file_bytes),
                            static_cast<double>(model.info.parameters) / 1e9, devices, rate.test,
                            rate.mean(), rate.deviation());
    }
    return text;
}

std::string bench_json(const messages::DescribeReply& model, std::uint32_t devices,
                       const std::vector<Rate>& rates) {
    Json json = {{"event", "model_bench"},
                 {"model", model.info.name},
                 {"quantisation", model.info.quantisation},
                 {"file_bytes", model.info.file_bytes},
                 {"parameters", model.info.parameters},
                 {"devices", devices}};
    json["results"] = Json::array();
    for (const Rate& rate : rates) {
        json["results"].push_back({{"test", rate.test},
                                   {"tokens_per_second", rate.mean()},
                                   {"deviation", rate.deviation()},
                                   {"runs", rate.tokens_per_second}});
    }
    return json.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

int model_bench(Common common, const BenchOptions& options) {
    const bool json = common.json;
    common.json = false;  // Thousands of tokens are of no interest.
    const std::string model = model_name(options.model);
    Session session(common);
    const auto about = session.describe(model);
    if (!about) return session.code();

    std::uint32_t devices = 0;
    // The first run of all loads the model, and is not counted.
    const auto run = [&](std::uint32_t prompt, std::uint32_t answer) {
        const auto final = session.ask(question(model, *about, prompt, answer));
        return final ? std::optional(Session::expect<messages::Done>(*final)) : std::nullopt;
    };
    if (const auto warm = run(8, 4); !warm || session.code() != kOk) return session.code();
    Rate reading{fmt::format("pp{}", options.prompt), {}};
    Rate writing{fmt::format("tg{}", options.answer), {}};
    for (std::uint32_t i = 0; i < options.runs; ++i) {
        session.progress().show("measuring", i, options.runs);
        const auto read = run(options.prompt, 1);
        if (!read || session.code() != kOk) return session.code();
        const auto written = run(1, options.answer);
        if (!written || session.code() != kOk) return session.code();
        devices = written->devices;
        reading.tokens_per_second.push_back((read->prompt_tokens - read->cached_tokens) /
                                            read->prefill_seconds);
        writing.tokens_per_second.push_back(written->generated_tokens / written->decode_seconds);
    }
    session.progress().clear();
    const std::vector<Rate> rates = {reading, writing};
    session.output().write(json ? bench_json(*about, devices, rates)
                                : bench_table(*about, devices, rates));
    return session.code();
}

}  // namespace shoal::cli
