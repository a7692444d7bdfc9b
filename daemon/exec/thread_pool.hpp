// A persistent pool of compute threads that share loops with the calling thread.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace shoal::exec {

/// Owned by one thread, which calls run() and takes part in the work itself.
/// Idle workers spin for a few microseconds, then sleep. A loop waits for workers that take part
/// in it, never for one that comes too late.
class ThreadPool {
  public:
    /// `threads` counts the caller: 1 starts no thread. Throws std::system_error.
    explicit ThreadPool(std::uint32_t threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    std::uint32_t threads() const noexcept {
        return static_cast<std::uint32_t>(workers_.size()) + 1;
    }

    /// Calls fn(begin, end) or fn(begin, end, worker) for ranges of at most `chunk` (>= 1) that
    /// cover [0, count), on all threads; returns when all are done. Faster threads take more.
    /// Ranges begin at multiples of `chunk`, whatever the number of threads. `worker` is below
    /// threads(), and no two calls at one time have the same: for scratch memory of each thread.
    /// The caller is worker 0. `fn` must not throw.
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
        task_ = {&fn, call, count, chunk};
        run_task();
    }

    /// Threads that this process may use: its affinity mask, bounded by the cgroup's CPU quota.
    static std::uint32_t usable_cores() noexcept;

  private:
    struct Task {
        void* fn = nullptr;
        void (*call)(void*, std::size_t, std::size_t, std::uint32_t) noexcept = nullptr;
        std::size_t count = 0;
        std::size_t chunk = 1;
    };

    /// Set in helpers_ while workers may join the task.
    static constexpr std::uint32_t kOpen = 1U << 31;

    void run_task() noexcept;
    bool join() noexcept;
    void work(std::uint32_t worker) noexcept;
    void worker_main(std::uint32_t index) noexcept;

    Task task_;                                          // changes only while helpers_ is 0
    alignas(64) std::atomic<std::size_t> next_{0};       // first index nobody has taken
    alignas(64) std::atomic<std::uint32_t> started_{0};  // number of tasks; workers wait on it
    alignas(64) std::atomic<std::uint32_t> helpers_{0};  // kOpen, and workers in the task
    std::atomic<bool> stopping_{false};
    std::vector<std::jthread> workers_;
};

}  // namespace shoal::exec
