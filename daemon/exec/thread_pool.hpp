// A persistent pool of compute threads that share loops with the calling thread.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <type_traits>
#include <vector>

namespace shoal::exec {

/// Rows of a step that a thread takes at a time where every row is little work.
inline constexpr std::size_t kRowChunk = 4;

/// Owned by one thread, which calls run() and takes part in the work itself.
/// Idle workers spin for some twenty microseconds, then sleep. A loop waits for workers that take
/// part in it, never for one that comes too late.
class ThreadPool {
  public:
    using StartThread = std::function<std::jthread(std::function<void()> body)>;
    static std::jthread start_thread(std::function<void()> body);

    /// `threads` counts the caller: 1 starts no thread. Throws what `start` throws, for the
    /// system's threads std::system_error when there is none to be had; then all have ended.
    explicit ThreadPool(std::uint32_t threads, const StartThread& start = start_thread);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    std::uint32_t threads() const noexcept {
        return static_cast<std::uint32_t>(workers_.size()) + 1;
    }

    /// Calls fn(begin, end) or fn(begin, end, worker) for ranges of at most `chunk` (>= 1) that
    /// cover [0, count), on all threads; returns when all are done. Faster threads take more. Fewer
    /// than 2^31 ranges. Ranges begin at multiples of `chunk`, whatever the number of threads.
    /// `worker` is below threads(), and no two calls at one time have the same: for scratch memory
    /// of each thread. The caller is worker 0. `fn` must not throw.
    template <typename Fn>
    void run(std::size_t count, std::size_t chunk, Fn&& fn) noexcept {
        const auto call = [](void* f, std::size_t begin, std::size_t end,
                             [[maybe_unused]] std::uint32_t worker) noexcept {
            auto& function = *static_cast<std::remove_reference_t<Fn>*>(f);
            if constexpr (std::is_invocable_v<Fn&, std::size_t, std::size_t, std::uint32_t>) {
                function(begin, end, worker);
            } else {
                function(begin, end);
            }
        };
        if (workers_.empty() || count <= chunk) {
            for (std::size_t i = 0; i < count; i += chunk)
                call(&fn, i, std::min(i + chunk, count), 0);
            return;
        }
        task_ = {&fn, call, count, chunk, static_cast<std::uint32_t>((count + chunk - 1) / chunk)};
        run_task();
    }

  private:
    using Call = void (*)(void*, std::size_t, std::size_t, std::uint32_t) noexcept;

    // What a worker needs to take part lies on one cache line: taking a range brings the task.
    struct Task {
        void* fn = nullptr;
        Call call = nullptr;
        std::size_t count = 0;
        std::size_t chunk = 1;
        std::uint32_t ranges = 0;
    };
    static constexpr std::uint32_t kStopping = UINT32_MAX;  // in open_: workers end

    void stop() noexcept;
    void run_task() noexcept;
    void call_range(std::uint32_t index, std::uint32_t worker) noexcept;
    std::uint32_t work(std::uint32_t worker) noexcept;
    void wait_for_helpers(std::uint32_t ranges) noexcept;
    bool wait_for_work() noexcept;
    void worker_main(std::uint32_t index) noexcept;

    const std::uint32_t spin_rounds_;
    alignas(64) std::atomic<std::uint32_t> open_{0};  // ranges that nobody has taken
    Task task_;                                       // changes only while no range is open or held
    alignas(64) std::atomic<std::uint32_t> helped_{0};    // ranges done by workers; and a flag
    alignas(64) std::atomic<std::uint32_t> sleepers_{0};  // workers that sleep or are about to
    std::vector<std::jthread> workers_;
};

}  // namespace shoal::exec
