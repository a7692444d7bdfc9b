#include "daemon/http/dialects/ollama/timings.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>

namespace shoal::http::ollama {
namespace {

std::int64_t nanoseconds(double seconds) {
    return std::llround(seconds * 1e9);
}

}  // namespace

std::string timestamp() {
    return timestamp_in(0);
}

std::string timestamp_in(double later) {
    using namespace std::chrono;
    const auto now = duration_cast<microseconds>(system_clock::now().time_since_epoch() +
                                                 std::chrono::duration<double>(later))
                         .count();
    const std::time_t seconds = now / 1'000'000;
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    char text[sizeof "2026-11-29T16:40:00"];
    if (std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts) == 0) return {};
    return fmt::format("{}.{:06}Z", text, now % 1'000'000);
}

void add_timings(const mesh::messages::Done& done, Json& out) {
    out["total_duration"] = nanoseconds(done.load_seconds + done.queue_seconds +
                                        done.prefill_seconds + done.decode_seconds);
    out["load_duration"] = nanoseconds(done.load_seconds);
    out["prompt_eval_count"] = done.prompt_tokens;
    out["prompt_eval_duration"] = nanoseconds(done.prefill_seconds);
    out["eval_count"] = done.generated_tokens;
    out["eval_duration"] = nanoseconds(done.decode_seconds);
}

}  // namespace shoal::http::ollama
